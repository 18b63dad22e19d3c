/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What VMX can do on a CPU, and what of it Dragonfly cannot do without.
 */
#ifndef DF_VMX_FEATURES_H
#define DF_VMX_FEATURES_H

#include <linux/types.h>

/* The capability MSRs (SDM, appendix "VMX Capability Reporting Facility"). */
enum vmx_capability {
	VMX_CAP_BASIC, VMX_CAP_PIN, VMX_CAP_PRIMARY, VMX_CAP_SECONDARY, VMX_CAP_TERTIARY,
	VMX_CAP_EXIT, VMX_CAP_ENTRY, VMX_CAP_EPT_VPID, VMX_CAP_MISC, NR_VMX_CAPS
};

/**
 * struct vmx_capabilities - the capability MSRs of one CPU
 * @msr: their values; 0 where the CPU has no such MSR, which is to say that
 *	none of its features are there. Of the control MSRs the "true" ones.
 */
struct vmx_capabilities {
	u64 msr[NR_VMX_CAPS];
};

/**
 * struct vmx_feature - a row of the table of features
 * @name: the SDM's name for it
 * @need: what Dragonfly does with it
 * @capability: the MSR that tells
 * @mask: the bits of that MSR that tell
 * @value: what they are where the feature is there
 * @required: the module refuses a CPU without it
 */
struct vmx_feature {
	const char *name, *need;
	enum vmx_capability capability;
	u64 mask, value;
	bool required;
};

extern const struct vmx_feature vmx_features[];
extern const unsigned int nr_vmx_features;

bool vmx_has_feature(const struct vmx_capabilities *caps, const struct vmx_feature *feature);

/**
 * vmx_name_missing() - name each required feature that a CPU lacks
 * @caps: what the CPU has
 * @text: filled with the names and needs, separated by commas
 * @size: of @text in bytes; what does not fit is cut
 *
 * Context: Any. Pure: reads nothing but its arguments.
 * Return: how many there are.
 */
unsigned int vmx_name_missing(const struct vmx_capabilities *caps, char *text, size_t size);

#endif
