/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* What the loader writes before it loads the programs. */
#ifndef PROCFLOW_METER_SETTINGS_H
#define PROCFLOW_METER_SETTINGS_H

#include "kernel_types.h"
#include "flow_contract.h"

/* The verifier removes what they rule out. */
const volatile struct meter_settings meter_settings SEC(".rodata.settings");

#endif
