// SPDX-License-Identifier: GPL-2.0-only
#include "x86.h"

#define RATIO_BITS	48
#define RATIO_ONE	BIT_ULL(RATIO_BITS)

u64 tsc_scale(const struct df_vcpu *vcpu, u64 host)
{
	return vcpu->tsc_ratio == RATIO_ONE ? host :
					      mul_u64_u64_shr(host, vcpu->tsc_ratio, RATIO_BITS);
}

u64 tsc_of_host(const struct df_vcpu *vcpu, u64 host)
{
	return tsc_scale(vcpu, host) + vcpu->tsc_offset;
}

bool tsc_is_hosts(const struct df_vcpu *vcpu)
{
	return !vcpu->tsc_offset && vcpu->tsc_ratio == RATIO_ONE;
}

bool tsc_is_common(const struct df_vm *vm)
{
	const struct df_vcpu *vcpu, *first = df_vm_vcpu(vm, 0);

	for_each_df_vcpu(n, vcpu, vm)
		if (READ_ONCE(vcpu->tsc_offset) != READ_ONCE(first->tsc_offset) ||
		    READ_ONCE(vcpu->tsc_ratio) != READ_ONCE(first->tsc_ratio))
			return false;
	return true;
}

/* The guest's clock is a line along its TSC. */
static int load(struct df_vcpu *vcpu)
{
	if (run_vmcs_begin(vcpu))
		return -EIO;
	vmcs_write(TSC_OFFSET, vcpu->tsc_offset);
	if (vmcs_can(SECONDARY_EXEC_TSC_SCALING)) {
		vmcs_write(TSC_MULTIPLIER, vcpu->tsc_ratio);
		vmcs_use(SECONDARY_EXEC_TSC_SCALING, vcpu->tsc_ratio != RATIO_ONE);
	}
	run_vmcs_end();
	set_bit(DF_REQ_CLOCK, &vcpu->requests);
	vcpu->dirty |= DF_DIRTY_APIC_MODE;
	timer_retarget(vcpu);
	return 0;
}

/* Whether the vCPUs' TSCs are the same is told with the clock of each. */
static int load_by_user(struct df_vcpu *vcpu)
{
	int err = load(vcpu);

	if (!err)
		run_request_all(vcpu->vm, DF_REQ_CLOCK);
	return err;
}

static int check_khz(unsigned long khz, u64 *ratio)
{
	*ratio = RATIO_ONE;
	if (!khz || khz == tsc_khz)
		return 0;
	if (khz >= S32_MAX || khz / tsc_khz >> (64 - RATIO_BITS) ||
	    !vmcs_can(SECONDARY_EXEC_TSC_SCALING))
		return -EINVAL;
	*ratio = mul_u64_u32_div(RATIO_ONE, khz, tsc_khz);
	return *ratio ? 0 : -EINVAL;
}

int tsc_set_khz(struct df_vcpu *vcpu, unsigned long khz)
{
	u64 now = tsc_read(vcpu), ratio;
	int err = check_khz(khz, &ratio);

	if (err)
		return err;
	vcpu->tsc_ratio = ratio;
	vcpu->tsc_khz = khz ?: tsc_khz;
	/* Time goes on from where it was. */
	if (vcpu->tsc_offset || vcpu->tsc_ratio != RATIO_ONE)
		vcpu->tsc_offset = now - tsc_scale(vcpu, rdtsc());
	return load_by_user(vcpu);
}

int tsc_set_default_khz(struct df_vm *vm, unsigned long khz)
{
	u64 ratio;
	int err = check_khz(khz, &ratio);

	if (!err)
		WRITE_ONCE(vm->arch.tsc_khz, khz ?: tsc_khz);
	return err;
}

void tsc_vcpu_init(struct df_vcpu *vcpu)
{
	struct df_vm_arch *vm = &vcpu->vm->arch;

	vcpu->tsc_khz = READ_ONCE(vm->tsc_khz) ?: tsc_khz;
	check_khz(vcpu->tsc_khz, &vcpu->tsc_ratio);
	scoped_guard(spinlock, &vm->tsc_lock) {
		if (!vcpu->vm->vcpus[0])
			vm->tsc_offset = -tsc_scale(vcpu, rdtsc());
		vcpu->tsc_offset = vm->tsc_offset;
	}
	load(vcpu);
}

u64 tsc_read(const struct df_vcpu *vcpu)
{
	return tsc_of_host(vcpu, rdtsc());
}

u64 tsc_to_host(const struct df_vcpu *vcpu, u64 cycles)
{
	if (vcpu->tsc_ratio == RATIO_ONE)
		return cycles;
	return mul_u64_u64_div_u64(cycles, RATIO_ONE, vcpu->tsc_ratio) + 1;
}

/* The offset that others have, if it is meant. */
static u64 common_offset(struct df_vcpu *vcpu, u64 offset)
{
	struct df_vm_arch *vm = &vcpu->vm->arch;
	u64 second = 1000ULL * vcpu->tsc_khz;

	spin_lock(&vm->tsc_lock);
	if (offset - vm->tsc_offset + second > 2 * second)
		vm->tsc_offset = offset;
	offset = vm->tsc_offset;
	spin_unlock(&vm->tsc_lock);
	return offset;
}

int tsc_write(struct df_vcpu *vcpu, u64 value, bool host)
{
	u64 offset = value - tsc_scale(vcpu, rdtsc());

	if (host)
		offset = common_offset(vcpu, offset);
	else
		vcpu->tsc_adjust += offset - vcpu->tsc_offset;
	vcpu->tsc_offset = offset;
	return host ? load_by_user(vcpu) : load(vcpu);
}

int tsc_write_adjust(struct df_vcpu *vcpu, u64 value, bool host)
{
	if (!host)
		vcpu->tsc_offset += value - vcpu->tsc_adjust;
	vcpu->tsc_adjust = value;
	return load(vcpu);
}

int tsc_has_attr(struct df_vcpu *vcpu, void *arg)
{
	const struct kvm_device_attr *attr = arg;

	if (attr->flags)
		return -EINVAL;
	return attr->group == KVM_VCPU_TSC_CTRL && attr->attr == KVM_VCPU_TSC_OFFSET ? 0 : -ENXIO;
}

int tsc_get_attr(struct df_vcpu *vcpu, void *arg)
{
	const struct kvm_device_attr *attr = arg;

	return tsc_has_attr(vcpu, arg) ?: put_user(vcpu->tsc_offset, (u64 __user *)attr->addr);
}

int tsc_set_attr(struct df_vcpu *vcpu, void *arg)
{
	const struct kvm_device_attr *attr = arg;
	u64 offset;
	int err;

	err = tsc_has_attr(vcpu, arg) ?: get_user(offset, (u64 __user *)attr->addr);
	if (err)
		return err;
	vcpu->tsc_offset = offset;
	scoped_guard(spinlock, &vcpu->vm->arch.tsc_lock)
		vcpu->vm->arch.tsc_offset = offset;
	return load_by_user(vcpu);
}
