// SPDX-License-Identifier: GPL-2.0-only
/*
 * The extended page tables of a VM, for a test that compares them with its slots, and a
 * guard of the order in which pages are taken away: what selftests/isolation loads. It
 * listens to the module; the VM is the one that was last made or flushed.
 *
 * Below /sys/kernel/debug/guest_tables/:
 *
 * leaves	a line "GFN LEVEL PFN RIGHTS" for each that the CPU would use
 * unpinned	how many times pages were taken away and unpinned
 * early	how many times while a leaf led to one, or before CPUs forgot those that had
 */
#include <linux/debugfs.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/seq_file.h>
#include <asm/io.h>
#include <asm/vmx.h>

#define ADDRESS GENMASK_ULL(51, 12)
#define LARGE BIT_ULL(7)

static u64 pointer;
static bool hidden;
static struct task_struct *dropping;
static u32 unpinned, early;

/* ---- a walk ------------------------------------------------------------------------ */

struct leaf {
	u64 gfn, entry;
	int level;
};

typedef bool (*visit_fn)(const struct leaf *leaf, void *data);

/* Until somebody has found what they look for. */
static bool walk(u64 table, int level, u64 gfn, visit_fn visit, void *data)
{
	const u64 *entries = phys_to_virt(table & ADDRESS);

	for (int i = 0; i < 512; i++) {
		u64 at = gfn + ((u64)i << (9 * (level - 1))), entry = READ_ONCE(entries[i]);
		struct leaf leaf = { at, entry, level };

		if (!(entry & VMX_EPT_RWX_MASK))
			continue;
		if (level > 1 && !(entry & LARGE)) {
			if (walk(entry, level - 1, at, visit, data))
				return true;
		} else if (visit(&leaf, data)) {
			return true;
		}
	}
	return false;
}

static u64 leaf_pfn(const struct leaf *leaf)
{
	return (leaf->entry & ADDRESS & ~((1ULL << (12 + 9 * (leaf->level - 1))) - 1)) >> 12;
}

static bool print_leaf(const struct leaf *leaf, void *out)
{
	seq_printf(out, "%llx %d %llx %llx\n", leaf->gfn, leaf->level, leaf_pfn(leaf),
		   leaf->entry & VMX_EPT_RWX_MASK);
	return false;
}

static int leaves_show(struct seq_file *out, void *unused)
{
	if (pointer)
		walk(pointer, 4, 0, print_leaf, out);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(leaves);

/* ---- what the module does ------------------------------------------------------------ */

static int is_pointer(struct kretprobe_instance *ri, struct pt_regs *regs)
{
	pointer = regs_return_value(regs);
	return 0;
}

static struct kretprobe pointers = {
	.kp.symbol_name = "mapping_pointer",
	.handler = is_pointer,
	.maxactive = 16,
};

static int is_flushed(struct kretprobe_instance *ri, struct pt_regs *regs)
{
	hidden = false;
	return 0;
}

static struct kretprobe flushes = {
	.kp.symbol_name = "df_arch_flush",
	.handler = is_flushed,
	.maxactive = 16,
};

static int is_hidden(struct kprobe *p, struct pt_regs *regs)
{
	hidden = true;
	return 0;
}

static struct kprobe hides = {
	.symbol_name = "ept_hide",
	.pre_handler = is_hidden,
};

struct pages {
	u64 first, n;
};

static bool leads_there(const struct leaf *leaf, void *data)
{
	const struct pages *pages = data;
	u64 first = leaf_pfn(leaf), n = 1ULL << (9 * (leaf->level - 1));

	return first < pages->first + pages->n && pages->first < first + n;
}

/* A page that another vCPU has mapped first is unpinned too, and stays mapped. */
static int drop_begins(struct kretprobe_instance *ri, struct pt_regs *regs)
{
	dropping = current;
	return 0;
}

static int drop_ends(struct kretprobe_instance *ri, struct pt_regs *regs)
{
	dropping = NULL;
	return 0;
}

static struct kretprobe drops = {
	.kp.symbol_name = "ept_drop",
	.entry_handler = drop_begins,
	.handler = drop_ends,
	.maxactive = 16,
};

/* df_memory_unpin(vm, page, n, dirty) */
static int is_unpinned(struct kprobe *p, struct pt_regs *regs)
{
	struct pages pages = {
		page_to_pfn((struct page *)regs_get_kernel_argument(regs, 1)),
		regs_get_kernel_argument(regs, 2),
	};

	if (dropping != current)
		return 0;
	unpinned++;
	if (hidden || walk(pointer, 4, 0, leads_there, &pages))
		early++;
	return 0;
}

static struct kprobe unpins = {
	.symbol_name = "df_memory_unpin",
	.pre_handler = is_unpinned,
};

static struct kretprobe *returns[] = { &pointers, &flushes, &drops };
static struct kprobe *calls[] = { &hides, &unpins };
static struct dentry *folder;

static int __init tables_init(void)
{
	int err = register_kretprobes(returns, ARRAY_SIZE(returns));

	if (err)
		return err;
	err = register_kprobes(calls, ARRAY_SIZE(calls));
	if (err) {
		unregister_kretprobes(returns, ARRAY_SIZE(returns));
		return err;
	}
	folder = debugfs_create_dir("guest_tables", NULL);
	debugfs_create_file("leaves", 0400, folder, NULL, &leaves_fops);
	debugfs_create_u32("unpinned", 0400, folder, &unpinned);
	debugfs_create_u32("early", 0400, folder, &early);
	return 0;
}

static void __exit tables_exit(void)
{
	debugfs_remove(folder);
	unregister_kprobes(calls, ARRAY_SIZE(calls));
	unregister_kretprobes(returns, ARRAY_SIZE(returns));
}

module_init(tables_init);
module_exit(tables_exit);

MODULE_DESCRIPTION("A VM's extended page tables, for a test to compare");
MODULE_LICENSE("GPL");
