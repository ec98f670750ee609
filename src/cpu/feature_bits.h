/* Which bits of CPUID stand for which feature, and from which x86-64 level on. */
#ifndef CPU_FEATURE_BITS_H
#define CPU_FEATURE_BITS_H

#include "cpu/system.h"

/* The registers of CPUID that hold feature bits. */
enum word { W1_ECX, W1_EDX, W7_EBX, W7_ECX, W7_EDX, WD1_EAX, WX1_ECX, WX1_EDX, WORDS };

/* Sets the feature bits of LEVEL as far as ALLOWED (a bit per enum cpu_feature) goes. Returns the features.
 */
u64 feature_words(u32 w[WORDS], enum cpu_level level, u64 allowed);

/* The host's own CPUID; false where it has none. */
bool host_cpuid(u32 leaf, u32 subleaf, u32 reg[4]);
/* XCR0; 0 where the host's system does not use XSAVE. */
u64 host_xcr0(void);

/* What of all features SOURCE, somebody's CPUID, lists; XCR0: state components that can be used there. */
typedef bool cpuid_source(void *opaque, u32 leaf, u32 subleaf, u32 reg[4]);
u64 cpu_features_found(cpuid_source *source, void *opaque, u64 xcr0);

#endif
