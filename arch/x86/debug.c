// SPDX-License-Identifier: GPL-2.0-only
#include "x86.h"

#define DR6_ACTIVE_LOW	0xffff0ff0ULL	/* bits that read as 1, or are 0 when they mean something */
#define DR6_BD		BIT(13)
#define DR6_VOLATILE	0x0000e00fULL
#define DR7_FIXED	BIT(10)
#define DR7_GD		BIT(13)
#define DR7_VOLATILE	0xffff2bffULL

void debug_reset(struct df_vcpu *vcpu)
{
	memset(vcpu->db, 0, sizeof(vcpu->db));
	vcpu->dr6 = DR6_ACTIVE_LOW;
	vcpu->dr7 = DR7_FIXED;
	vcpu->dirty |= DF_DIRTY_DR7;
}

void debug_load(const struct df_vcpu *vcpu)
{
	const u64 *db = vcpu->db;

	if (vcpu->debug.control & KVM_GUESTDBG_USE_HW_BP)
		db = vcpu->debug.arch.debugreg;
	/* The host's own are off until they are restored: not at the guest's addresses. */
	if (hw_breakpoint_active()) {
		set_debugreg(0UL, 7);
		df_host_save_breakpoints();
	}
	set_debugreg(db[0], 0);
	set_debugreg(db[1], 1);
	set_debugreg(db[2], 2);
	set_debugreg(db[3], 3);
}

void debug_hide(struct df_vcpu *vcpu)
{
	if (vcpu->debug.control & KVM_GUESTDBG_SINGLESTEP)
		vcpu->rflags &= ~(u64)X86_EFLAGS_TF;
}

int debug_exit(struct df_vcpu *vcpu, u8 vector, u64 cause)
{
	struct kvm_debug_exit_arch *info = &vcpu->run->debug.arch;
	u64 cs_base;

	if (run_vmcs_begin(vcpu))
		return -EIO;
	cs_base = vmcs_read(GUEST_CS_BASE);
	run_vmcs_end();
	*info = (struct kvm_debug_exit_arch){
		.exception = vector,
		.pc = cs_base + vcpu->rip,
		.dr6 = cause | DR6_ACTIVE_LOW,
		.dr7 = debug_dr7(vcpu),
	};
	return exit_to_user(vcpu, KVM_EXIT_DEBUG);
}

/* As the CPU delivers #DB: its causes are in DR6, and DR7 no longer guards itself. */
static int raise_db(struct df_vcpu *vcpu, u64 cause)
{
	vcpu->dr6 = ((vcpu->dr6 & ~(u64)DR_TRAP_BITS) | DR6_ACTIVE_LOW | cause) ^
		    (cause & DR6_ACTIVE_LOW);
	vcpu->dr7 &= ~(u64)DR7_GD;
	vcpu->dirty |= DF_DIRTY_DR7;
	return events_exception(vcpu, X86_TRAP_DB);
}

void debug_step(struct df_vcpu *vcpu)
{
	raise_db(vcpu, DR_STEP);
}

/* Between STI or MOV SS and the next instruction the CPU enters with TF only so. */
static int keep_step(struct df_vcpu *vcpu)
{
	if (run_vmcs_begin(vcpu))
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
	u64 cause = vcpu->exit.qualification;
	int err = 0;

	if (vcpu->debug.control & (KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_USE_HW_BP))
		return debug_exit(vcpu, X86_TRAP_DB, cause);
	/* INT1 is a trap: it returns behind itself. */
	if ((vcpu->exit.intr_info & INTR_INFO_INTR_TYPE_MASK) == INTR_TYPE_PRIV_SW_EXCEPTION)
		exit_skip(vcpu);
	else if (vcpu->rflags & X86_EFLAGS_TF)
		err = keep_step(vcpu);
	if (err)
		return err;
	/* A delivery that was cut short by this one is started again by the guest's IRET. */
	return raise_db(vcpu, cause);
}

static u64 get_dr(const struct df_vcpu *vcpu, int dr)
{
	switch (dr) {
	case 4:
	case 6:		return vcpu->dr6;
	case 5:
	case 7:		return vcpu->dr7;
	default:	return vcpu->db[dr];
	}
}

/* The upper halves of DR6 and DR7 do not exist. */
static bool set_dr(struct df_vcpu *vcpu, int dr, u64 value)
{
	if (dr < 4) {
		vcpu->db[dr] = value;
		return true;
	}
	if (value >> 32)
		return false;
	if (dr == 4 || dr == 6) {
		vcpu->dr6 = (value & DR6_VOLATILE) | DR6_ACTIVE_LOW;
	} else {
		vcpu->dr7 = (value & DR7_VOLATILE) | DR7_FIXED;
		vcpu->dirty |= DF_DIRTY_DR7;
	}
	return true;
}

/* SDM, "Exit Qualification for MOV DR"; faults in the order of the instruction's page. */
int debug_handle_mov(struct df_vcpu *vcpu)
{
	u64 q = vcpu->exit.qualification;
	int dr = q & 7, gpr = q >> 8 & 15;
	bool read = q & BIT(4);
	struct df_mode mode;

	if (state_mode(vcpu, &mode))
		return -EIO;
	if ((dr == 4 || dr == 5) && mode.paging.cr4 & X86_CR4_DE)
		return events_exception(vcpu, X86_TRAP_UD);
	if (mode.cpl)
		return events_gp(vcpu);
	if (debug_dr7(vcpu) & DR7_GD) {
		if (vcpu->debug.control & KVM_GUESTDBG_USE_HW_BP)
			return debug_exit(vcpu, X86_TRAP_DB, DR6_BD);
		return raise_db(vcpu, DR6_BD);
	}

	if (read) {
		vcpu->regs[gpr] = get_dr(vcpu, dr);
		if (gpr == DF_RSP)
			vcpu->dirty |= DF_DIRTY_RSP;
	} else if (!set_dr(vcpu, dr, mode.bytes == 8 ? vcpu->regs[gpr] : (u32)vcpu->regs[gpr])) {
		return events_gp(vcpu);
	}
	exit_skip(vcpu);
	return DF_RESUME;
}

int debug_get(struct df_vcpu *vcpu, void *arg)
{
	struct kvm_debugregs *regs = arg;

	*regs = (struct kvm_debugregs){ .dr6 = vcpu->dr6, .dr7 = vcpu->dr7 };
	memcpy(regs->db, vcpu->db, sizeof(regs->db));
	return 0;
}

int debug_set(struct df_vcpu *vcpu, void *arg)
{
	const struct kvm_debugregs *regs = arg;

	if (regs->flags || regs->dr6 >> 32 || regs->dr7 >> 32)
		return -EINVAL;
	memcpy(vcpu->db, regs->db, sizeof(vcpu->db));
	set_dr(vcpu, 6, regs->dr6);
	set_dr(vcpu, 7, regs->dr7);
	return 0;
}

int debug_set_guest_debug(struct df_vcpu *vcpu, void *arg)
{
	const struct kvm_guest_debug *debug = arg;

	if (debug->control & ~(u32)DEBUG_GUEST_FLAGS)
		return -EINVAL;
	if (debug->control & (KVM_GUESTDBG_INJECT_DB | KVM_GUESTDBG_INJECT_BP)) {
		if (vcpu->inject_info)
			return -EBUSY;
		events_exception(vcpu, debug->control & KVM_GUESTDBG_INJECT_DB ? X86_TRAP_DB :
										 X86_TRAP_BP);
	}
	vcpu->debug = *debug;
	if (!(debug->control & KVM_GUESTDBG_ENABLE))
		vcpu->debug = (struct kvm_guest_debug){};
	/* As loaded, whatever user space wrote in the bits that are fixed. */
	vcpu->debug.arch.debugreg[7] = (vcpu->debug.arch.debugreg[7] & DR7_VOLATILE) | DR7_FIXED;
	vcpu->dirty |= DF_DIRTY_RFLAGS | DF_DIRTY_DR7 | DF_DIRTY_APIC;

	if (run_vmcs_begin(vcpu))
		return -EIO;
	vmcs_set_exceptions(vcpu->debug.control & KVM_GUESTDBG_USE_SW_BP ? BIT(X86_TRAP_BP) : 0);
	if (lapic_is_here(vcpu))
		vmcs_set(PIN_BASED_VM_EXEC_CONTROL, PIN_BASED_POSTED_INTR,
			 !debug_blocks_interrupts(vcpu));
	run_vmcs_end();
	return 0;
}
