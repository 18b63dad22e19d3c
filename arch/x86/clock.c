// SPDX-License-Identifier: GPL-2.0-only
#include "x86.h"

bool clock_is_offered(void)
{
	u64 tsc, real;

	return df_host_time(&tsc, &real);
}

/* ---- the line ---------------------------------------------------------------------- */

/*
 * A tick's length in ns, as a power of 2 and a fraction of 32 bits, of which the
 * first is set: exact to half a second in 30 years.
 */
static void set_rate(struct pvclock_vcpu_time_info *time, u64 hz)
{
	u64 ns = NSEC_PER_SEC;

	time->tsc_shift = 0;
	for (; ns >= hz; hz *= 2)
		time->tsc_shift++;
	for (; ns * 2 < hz; ns *= 2)
		time->tsc_shift--;
	time->tsc_to_system_mul = mul_u64_u64_div_u64(ns, BIT_ULL(32), hz);
}

/* Without a vCPU: as one would see it that has the host's TSC. */
static struct pvclock_vcpu_time_info line(struct df_vm *vm, const struct df_vcpu *vcpu)
{
	struct pvclock_vcpu_time_info time = {};
	u64 hz = tsc_khz * 1000ULL;

	spin_lock(&vm->arch.tsc_lock);
	time.tsc_timestamp = vm->arch.clock_tsc;
	time.system_time = vm->arch.clock_ns;
	spin_unlock(&vm->arch.tsc_lock);
	if (vcpu) {
		time.tsc_timestamp = tsc_of_host(vcpu, time.tsc_timestamp);
		hz = tsc_scale(vcpu, hz);
	}
	set_rate(&time, hz);
	return time;
}

static u64 read_clock(struct df_vm *vm, u64 host_tsc)
{
	struct pvclock_vcpu_time_info time = line(vm, NULL);

	return __pvclock_read_cycles(&time, host_tsc);
}

static void set_point(struct df_vm *vm, u64 tsc, u64 ns)
{
	spin_lock(&vm->arch.tsc_lock);
	vm->arch.clock_tsc = tsc;
	vm->arch.clock_ns = ns;
	spin_unlock(&vm->arch.tsc_lock);
}

void clock_vm_init(struct df_vm *vm)
{
	set_point(vm, rdtsc_ordered(), 0);
}

/* ---- for the guest ------------------------------------------------------------------ */

/*
 * A structure that begins with its version, which is odd while the rest changes:
 * a guest reads it before and after, in that order (pvclock_read_begin() there).
 * Where the guest has no memory, it is told nothing.
 */
static int publish(struct df_vm *vm, u64 gpa, const void *data, size_t size)
{
	u32 version;
	int err = df_memory_access(vm, gpa, &version, sizeof(version), false);

	if (err)
		return err;
	version = (version + 1) | 1;
	err = df_memory_access(vm, gpa, &version, sizeof(version), true);
	if (err)
		return err;
	smp_wmb();	/* the version first */
	err = df_memory_access(vm, gpa + sizeof(version), (void *)data + sizeof(version),
			       size - sizeof(version), true);
	smp_wmb();	/* and last */
	version++;
	return df_memory_access(vm, gpa, &version, sizeof(version), true) ?: err;
}

static u64 place(const struct df_vcpu *vcpu)
{
	return vcpu->system_time & ~(u64)KVM_MSR_ENABLED;
}

/* As KVM: not across pages. */
static bool is_on(const struct df_vcpu *vcpu)
{
	return vcpu->system_time & KVM_MSR_ENABLED &&
	       offset_in_page(place(vcpu)) <= PAGE_SIZE - sizeof(struct pvclock_vcpu_time_info);
}

void clock_reset(struct df_vcpu *vcpu)
{
	vcpu->system_time = 0;
	vcpu->clock_stopped = false;
}

void clock_update(struct df_vcpu *vcpu)
{
	struct pvclock_vcpu_time_info time, old;

	if (!is_on(vcpu) || df_memory_access(vcpu->vm, place(vcpu), &old, sizeof(old), false))
		return;
	time = line(vcpu->vm, vcpu);
	/* A guest takes one vCPU's line for all of them where it may. */
	if (clock_is_offered() && tsc_is_common(vcpu->vm))
		time.flags = PVCLOCK_TSC_STABLE_BIT;
	/* The guest's to clear. */
	if (vcpu->clock_stopped || old.flags & PVCLOCK_GUEST_STOPPED)
		time.flags |= PVCLOCK_GUEST_STOPPED;
	if (!publish(vcpu->vm, place(vcpu), &time, sizeof(time)))
		vcpu->clock_stopped = false;
}

void clock_set_system_time(struct df_vcpu *vcpu, u64 value)
{
	vcpu->system_time = value;
	set_bit(DF_REQ_CLOCK, &vcpu->requests);
}

void clock_set_wall_clock(struct df_vm *vm, u64 gpa)
{
	struct pvclock_wall_clock wall = {};
	u64 tsc, real;
	u32 nsec;

	WRITE_ONCE(vm->arch.wall_clock, gpa);
	if (!gpa)
		return;
	df_host_time(&tsc, &real);
	/* 32 bits of seconds are what there is: until 2106. */
	wall.sec = div_u64_rem(real - read_clock(vm, tsc), NSEC_PER_SEC, &nsec);
	wall.nsec = nsec;
	publish(vm, gpa, &wall, sizeof(wall));
}

int clock_pair(struct df_vcpu *vcpu, u64 gpa)
{
	struct kvm_clock_pairing pair = {};
	u64 tsc, real;
	u32 nsec;

	if (!df_host_time(&tsc, &real))
		return -KVM_EOPNOTSUPP;
	pair.sec = div_u64_rem(real, NSEC_PER_SEC, &nsec);
	pair.nsec = nsec;
	pair.tsc = tsc_of_host(vcpu, tsc);
	return df_memory_access(vcpu->vm, gpa, &pair, sizeof(pair), true) ? -KVM_EFAULT : 0;
}

/* ---- for user space ----------------------------------------------------------------- */

int clock_get(struct df_vm *vm, void *arg)
{
	struct kvm_clock_data *data = arg;
	u64 tsc, real;

	*data = (struct kvm_clock_data){};
	if (df_host_time(&tsc, &real)) {
		data->flags = KVM_CLOCK_REALTIME | KVM_CLOCK_HOST_TSC;
		if (tsc_is_common(vm))
			data->flags |= KVM_CLOCK_TSC_STABLE;
		data->realtime = real;
		data->host_tsc = tsc;
	}
	data->clock = read_clock(vm, tsc);
	return 0;
}

int clock_set(struct df_vm *vm, void *arg)
{
	const struct kvm_clock_data *data = arg;
	u64 tsc, real, ns = data->clock;

	if (data->flags & ~CLOCK_FLAGS)
		return -EINVAL;
	df_host_time(&tsc, &real);
	/* It has gone on since, but does not go back. */
	if (data->flags & KVM_CLOCK_REALTIME && real > data->realtime)
		ns += real - data->realtime;
	set_point(vm, tsc, ns);
	run_request_all(vm, DF_REQ_CLOCK);
	return 0;
}

int clock_stopped(struct df_vcpu *vcpu)
{
	if (!is_on(vcpu))
		return -EINVAL;
	vcpu->clock_stopped = true;
	set_bit(DF_REQ_CLOCK, &vcpu->requests);
	return 0;
}
