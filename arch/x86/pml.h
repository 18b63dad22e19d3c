/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Page-modification logging: the CPU writes down which pages a guest dirties
 * (SDM, "Page-Modification Logging").
 *
 * A vCPU's log is emptied whenever it comes out of the inner ring, so that one
 * that does not run has nothing in it.
 */
#ifndef DF_PML_H
#define DF_PML_H

#include "types.h"

/** pml_is_used() - does this CPU have it? */
bool pml_is_used(void);

/** pml_vcpu_init() - for a vCPU that comes while its VM is logged. 0 or -ENOMEM. */
int pml_vcpu_init(struct df_vcpu *vcpu);

/** pml_serve_requests() - what others have asked of a vCPU; the VMCS current. */
void pml_serve_requests(struct df_vcpu *vcpu);

/** pml_stop() - note how far the log is, and start it anew; the VMCS current. */
void pml_stop(struct df_vcpu *vcpu);

/** pml_flush() - what pml_stop() has noted, into the dirty log. May sleep. */
void pml_flush(struct df_vcpu *vcpu);

#endif
