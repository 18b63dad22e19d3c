// SPDX-License-Identifier: GPL-2.0-only
#include "x86.h"

#define DR6_ACTIVE_LOW	0xffff0ff0ULL	/* bits that read as 1, or are 0 when they mean something */
#define DR6_BD		BIT(13)
#define DR6_VOLATILE	0x0000e00fULL
#define DR7_FIXED	BIT(10)
#define DR7_GD		BIT(13)
#define DR7_VOLATILE	0xffff2bffULL

void debug_reset(struct df_vcpu_arch *arch)
{
	memset(arch->db, 0, sizeof(arch->db));
	arch->dr6 = DR6_ACTIVE_LOW;
	arch->dr7 = DR7_FIXED;
	arch->dirty |= DF_DIRTY_DR7;
}

void debug_load(const struct df_vcpu_arch *arch)
{
	const u64 *db = arch->db;

	if (arch->debug.control & KVM_GUESTDBG_USE_HW_BP)
		db = arch->debug.arch.debugreg;
	/* The host's own are off until they are restored: not at the guest's addresses. */
	if (hw_breakpoint_active())
		set_debugreg(0UL, 7);
	set_debugreg(db[0], 0);
	set_debugreg(db[1], 1);
	set_debugreg(db[2], 2);
	set_debugreg(db[3], 3);
}

void debug_hide(struct df_vcpu_arch *arch)
{
	if (arch->debug.control & KVM_GUESTDBG_SINGLESTEP)
		arch->rflags &= ~(u64)X86_EFLAGS_TF;
}

int debug_exit(struct df_vcpu *vcpu, u8 vector, u64 cause)
{
	struct df_vcpu_arch *arch = &vcpu->arch;
	struct kvm_debug_exit_arch *info = &vcpu->run->debug.arch;
	u64 cs_base;

	if (run_vmcs_begin(arch))
		return -EIO;
	cs_base = vmcs_read(GUEST_CS_BASE);
	run_vmcs_end();
	*info = (struct kvm_debug_exit_arch){
		.exception = vector,
		.pc = cs_base + arch->rip,
		.dr6 = cause | DR6_ACTIVE_LOW,
		.dr7 = debug_dr7(arch),
	};
	return exit_to_user(vcpu, KVM_EXIT_DEBUG);
}

/* As the CPU delivers #DB: its causes are in DR6, and DR7 no longer guards itself. */
static int raise_db(struct df_vcpu_arch *arch, u64 cause)
{
	arch->dr6 = ((arch->dr6 & ~(u64)DR_TRAP_BITS) | DR6_ACTIVE_LOW | cause) ^
		    (cause & DR6_ACTIVE_LOW);
	arch->dr7 &= ~(u64)DR7_GD;
	arch->dirty |= DF_DIRTY_DR7;
	return events_exception(arch, X86_TRAP_DB);
}

void debug_step(struct df_vcpu_arch *arch)
{
	raise_db(arch, DR_STEP);
}

/* Between STI or MOV SS and the next instruction the CPU enters with TF only so. */
static int keep_step(struct df_vcpu_arch *arch)
{
	if (run_vmcs_begin(arch))
		return -EIO;
	if (vmcs_read(GUEST_INTERRUPTIBILITY_INFO) &
	    (GUEST_INTR_STATE_STI | GUEST_INTR_STATE_MOV_SS))
		vmcs_write(GUEST_PENDING_DBG_EXCEPTIONS,
			   vmcs_read(GUEST_PENDING_DBG_EXCEPTIONS) | DR_STEP);
	run_vmcs_end();
	return 0;
}

int debug_handle_db(struct df_vcpu *vcpu)
{
	struct df_vcpu_arch *arch = &vcpu->arch;
	u64 cause = arch->exit.qualification;
	int err = 0;

	if (arch->debug.control & (KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_USE_HW_BP))
		return debug_exit(vcpu, X86_TRAP_DB, cause);
	/* INT1 is a trap: it returns behind itself. */
	if ((arch->exit.intr_info & INTR_INFO_INTR_TYPE_MASK) == INTR_TYPE_PRIV_SW_EXCEPTION)
		exit_skip(arch);
	else if (arch->rflags & X86_EFLAGS_TF)
		err = keep_step(arch);
	if (err)
		return err;
	/* A delivery that was cut short by this one is started again by the guest's IRET. */
	return raise_db(arch, cause);
}

static u64 get_dr(const struct df_vcpu_arch *arch, int dr)
{
	switch (dr) {
	case 4:
	case 6:		return arch->dr6;
	case 5:
	case 7:		return arch->dr7;
	default:	return arch->db[dr];
	}
}

/* The upper halves of DR6 and DR7 do not exist. */
static bool set_dr(struct df_vcpu_arch *arch, int dr, u64 value)
{
	if (dr < 4) {
		arch->db[dr] = value;
		return true;
	}
	if (value >> 32)
		return false;
	if (dr == 4 || dr == 6) {
		arch->dr6 = (value & DR6_VOLATILE) | DR6_ACTIVE_LOW;
	} else {
		arch->dr7 = (value & DR7_VOLATILE) | DR7_FIXED;
		arch->dirty |= DF_DIRTY_DR7;
	}
	return true;
}

/* SDM, "Exit Qualification for MOV DR"; faults in the order of the instruction's page. */
int debug_handle_mov(struct df_vcpu *vcpu)
{
	struct df_vcpu_arch *arch = &vcpu->arch;
	u64 q = arch->exit.qualification;
	int dr = q & 7, gpr = q >> 8 & 15;
	bool read = q & BIT(4);
	struct df_mode mode;

	if (state_mode(vcpu, &mode))
		return -EIO;
	if ((dr == 4 || dr == 5) && mode.paging.cr4 & X86_CR4_DE)
		return events_exception(arch, X86_TRAP_UD);
	if (mode.cpl)
		return events_gp(arch);
	if (debug_dr7(arch) & DR7_GD) {
		if (arch->debug.control & KVM_GUESTDBG_USE_HW_BP)
			return debug_exit(vcpu, X86_TRAP_DB, DR6_BD);
		return raise_db(arch, DR6_BD);
	}

	if (read) {
		arch->regs[gpr] = get_dr(arch, dr);
		if (gpr == DF_RSP)
			arch->dirty |= DF_DIRTY_RSP;
	} else if (!set_dr(arch, dr, mode.bytes == 8 ? arch->regs[gpr] : (u32)arch->regs[gpr])) {
		return events_gp(arch);
	}
	exit_skip(arch);
	return DF_RESUME;
}

int debug_get(struct df_vcpu *vcpu, void *arg)
{
	const struct df_vcpu_arch *arch = &vcpu->arch;
	struct kvm_debugregs *regs = arg;

	*regs = (struct kvm_debugregs){ .dr6 = arch->dr6, .dr7 = arch->dr7 };
	memcpy(regs->db, arch->db, sizeof(regs->db));
	return 0;
}

int debug_set(struct df_vcpu *vcpu, void *arg)
{
	const struct kvm_debugregs *regs = arg;
	struct df_vcpu_arch *arch = &vcpu->arch;

	if (regs->flags || regs->dr6 >> 32 || regs->dr7 >> 32)
		return -EINVAL;
	memcpy(arch->db, regs->db, sizeof(arch->db));
	set_dr(arch, 6, regs->dr6);
	set_dr(arch, 7, regs->dr7);
	return 0;
}

int debug_set_guest_debug(struct df_vcpu *vcpu, void *arg)
{
	const struct kvm_guest_debug *debug = arg;
	struct df_vcpu_arch *arch = &vcpu->arch;

	if (debug->control & ~(u32)DEBUG_GUEST_FLAGS)
		return -EINVAL;
	if (debug->control & (KVM_GUESTDBG_INJECT_DB | KVM_GUESTDBG_INJECT_BP)) {
		if (arch->inject_info)
			return -EBUSY;
		events_exception(arch, debug->control & KVM_GUESTDBG_INJECT_DB ? X86_TRAP_DB :
										 X86_TRAP_BP);
	}
	arch->debug = *debug;
	if (!(debug->control & KVM_GUESTDBG_ENABLE))
		arch->debug = (struct kvm_guest_debug){};
	/* As loaded, whatever user space wrote in the bits that are fixed. */
	arch->debug.arch.debugreg[7] = (arch->debug.arch.debugreg[7] & DR7_VOLATILE) | DR7_FIXED;
	arch->dirty |= DF_DIRTY_RFLAGS | DF_DIRTY_DR7 | DF_DIRTY_APIC;

	if (run_vmcs_begin(arch))
		return -EIO;
	vmcs_set_exceptions(arch->debug.control & KVM_GUESTDBG_USE_SW_BP ? BIT(X86_TRAP_BP) : 0);
	if (lapic_is_here(arch))
		vmcs_set(PIN_BASED_VM_EXEC_CONTROL, PIN_BASED_POSTED_INTR,
			 !debug_blocks_interrupts(arch));
	run_vmcs_end();
	return 0;
}
