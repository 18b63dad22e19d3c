// SPDX-License-Identifier: GPL-2.0-only
#include <linux/msi.h>

#include "arch.h"
#include "vm.h"

bool df_arch_has_irqchip(const struct df_vm *vm)
{
	return true;
}

int df_arch_msi(struct df_vm *vm, const struct msi_msg *msi)
{
	return 0;
}

bool df_arch_msi_valid(const struct df_vm *vm, const struct msi_msg *msi)
{
	return true;
}

bool df_arch_msi_level(const struct msi_msg *msi)
{
	return msi->arch_data.is_level;
}

int df_arch_msi_vector(const struct df_vcpu *vcpu, const struct msi_msg *msi)
{
	return msi->arch_data.vector;
}

void df_arch_eoi_changed(struct df_vm *vm)
{
}
