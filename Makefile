# SPDX-License-Identifier: GPL-2.0-only
#
# Everything that is built goes below build/. What the kernel builds is in
# Kbuild; this file is for people.

# The kernel to build the module for: by default the test host's, which is
# fetched when it is missing.
TESTHOST := tools/testhost/testhost
KDIR ?= $(shell $(TESTHOST) kdir 6.12)

DESTDIR ?=
PREFIX ?= /usr/local
BUILD := build

CFLAGS ?= -O2 -g
USER_CFLAGS := -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Werror -Iinclude/uapi $(CFLAGS)

VERSION := $(shell sed -n 's/^MODULE_VERSION("\(.*\)");/\1/p' src/main.c)

.DEFAULT_GOAL := all
.PHONY: all module guest-module guest-initrd faults models livepatch tool selftests unit demo shell check check-long check-debug lint lint-selftest bench install clean help

help:	## list the targets
	@echo "Targets (KDIR=... chooses the kernel, default: the test host's 6.12):"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | sort | expand -t 18

all: module tool selftests	## the module, the tool and the selftests

# --- the module -----------------------------------------------------------
#
# Kbuild writes its objects beside the sources that it finds, so it is shown a
# tree of links, one for each kernel release.

MODULE_SOURCES := Kbuild src arch include

# As uname -r prints it; Debian's kernel.release is another on 6.1.
release_of = $(shell sed -n 's/.*UTS_RELEASE "\(.*\)"/\1/p' $(1)/include/generated/utsrelease.h)

module: release = $(call release_of,$(KDIR))
module: out = $(BUILD)/$(release)
module:	## dragonfly.ko, in build/RELEASE/
	@test -f "$(KDIR)/include/generated/utsrelease.h" || \
		{ echo "make: $(KDIR) is no place to build modules against" >&2; exit 1; }
	@mkdir -p $(out)
	@find $(out) -xtype l -delete
	@for f in $(MODULE_SOURCES); do cp -rsf $(CURDIR)/$$f $(out)/; done
	$(MAKE) -C $(KDIR) M=$(abspath $(out)) $(KBUILD_FLAGS) modules

# For the kernel of a guest: by default the test host's, too.
GUEST_KDIR ?= $(shell $(TESTHOST) guest-kdir 6.12)

guest-module: out = $(BUILD)/guest/$(call release_of,$(GUEST_KDIR))
guest-module:	## dragonfly_guest.ko, for a guest, in build/guest/RELEASE/
	@mkdir -p $(out)
	@find $(out) -xtype l -delete
	@cp -rsf $(CURDIR)/arch/x86/guest/* $(CURDIR)/include $(out)/
	$(MAKE) -C $(GUEST_KDIR) M=$(abspath $(out)) $(KBUILD_FLAGS) modules

# Faults on purpose, to try the test host with; models of devices that it has not; a hot fix.
faults models livepatch: release = $(call release_of,$(KDIR))
faults models livepatch: out = $(BUILD)/$@/$(release)
faults models livepatch:
	@mkdir -p $(out)
	@cp -rsf $(CURDIR)/selftests/$@/* $(out)/
	$(MAKE) -C $(KDIR) M=$(abspath $(out)) $(KBUILD_FLAGS) modules

# The module's type information for BPF needs pahole; without it the kernel's
# own makefile fails where it could do without.
CHECKS ?= W=1
KBUILD_FLAGS := $(CHECKS) $(if $(shell command -v pahole),,CONFIG_DEBUG_INFO_BTF_MODULES=)

# --- user space -----------------------------------------------------------

TOOL_SOURCES := $(wildcard tools/dragonfly/*.c tools/dragonfly/*/*.c)
TOOL_OBJECTS := $(TOOL_SOURCES:tools/dragonfly/%.c=$(BUILD)/tool/%.o)
TOOL_CFLAGS = $(USER_CFLAGS) -Itools/dragonfly -I$(BUILD)/tool -DVERSION='"$(VERSION)"'

tool: $(BUILD)/dragonfly	## the command-line tool

$(BUILD)/dragonfly: $(TOOL_OBJECTS)
	$(CC) $(LDFLAGS) -o $@ $^ -ljson-c -pthread

$(BUILD)/tool/%.o: tools/dragonfly/%.c src/main.c
	@mkdir -p $(@D)
	$(CC) $(TOOL_CFLAGS) -pthread -MMD -MP -c -o $@ $<

$(BUILD)/tool/machine/acpi.o: $(BUILD)/tool/dsdt.hex

# The DSDT has its numbers from the devices' headers, whose suffixes ASL does not
# know, and becomes a C array (iasl is in acpica-tools).
DSDT_HEADERS := $(addprefix tools/dragonfly/,machine/memory.h \
	$(addprefix devices/,hotplug.h power.h serial.h))

$(BUILD)/tool/%.hex: tools/dragonfly/machine/%.asl $(DSDT_HEADERS)
	@mkdir -p $(@D)
	$(CC) -std=c11 -E -P -x c $(addprefix -imacros ,$(DSDT_HEADERS)) -o $(@:.hex=.asl) $<
	@sed -i 's/\(0x[0-9a-f]*\)ULL/\1/g' $(@:.hex=.asl)
	@# 2158: it would have had the offset anyway
	iasl -vs -we -vw 2158 -tc -p $(@:.hex=) $(@:.hex=.asl) >$(@:.hex=.log) || \
		{ cat $(@:.hex=.log) >&2; rm -f $@; exit 1; }

-include $(TOOL_OBJECTS:.o=.d)

# kselftest's harness comes with the kernel's sources only.
KSELFTEST = $(shell $(TESTHOST) source)/tools/testing/selftests

SELFTESTS := $(patsubst selftests/%.c,$(BUILD)/selftests/%,$(wildcard selftests/*.c)) \
	$(BUILD)/selftests/fuzzer
UNIT_TESTS := $(patsubst selftests/unit/%.c,$(BUILD)/unit/%, \
	$(wildcard selftests/unit/*.c selftests/unit/tool/*.c))

selftests: $(SELFTESTS) $(UNIT_TESTS)	## the tests, in build/selftests/ and build/unit/

$(BUILD)/selftests/%: selftests/%.c $(wildcard selftests/*.h)
	@mkdir -p $(@D)
	$(CC) $(USER_CFLAGS) -isystem $(KSELFTEST) -o $@ $<

$(BUILD)/selftests/fuzzer: $(wildcard selftests/fuzz/*.[ch] selftests/*.h)
	@mkdir -p $(@D)
	$(CC) $(USER_CFLAGS) -isystem $(KSELFTEST) -o $@ $(filter selftests/fuzz/%.c,$^) -pthread

# A guest has no libraries. Its initrd with what is built for it: the test host's, and a
# second archive behind it.
$(BUILD)/guest/workload: selftests/linux/workload.c
	@mkdir -p $(@D)
	$(CC) $(USER_CFLAGS) -static -o $@ $< -pthread

guest-initrd: guest-module $(BUILD)/guest/workload	## an initrd with it, and the workloads, in build/guest/
	@rm -rf $(BUILD)/guest/root
	@mkdir -p $(BUILD)/guest/root/bin $(BUILD)/guest/root/modules
	@cp $(BUILD)/guest/workload $(BUILD)/guest/root/bin/
	@cp $(BUILD)/guest/$(call release_of,$(GUEST_KDIR))/dragonfly_guest.ko \
		$(BUILD)/guest/root/modules/
	@{ cat $(shell $(TESTHOST) guest 6.12)/initrd && cd $(BUILD)/guest/root && \
		find . | cpio -o -H newc -R 0:0 --quiet; } >$(BUILD)/guest/initrd

# Unit tests compile a file of the module into themselves, with the kernel's
# own headers for user space below tools/ and what else of them is fit for it,
# and stand-ins for the rest.
KTOOLS = $(KSELFTEST)/../..

UNIT_HEADERS := $(shell find selftests/unit -name '*.h')
UNIT_SOURCES := $(wildcard src/*.[ch] arch/x86/*.[ch] arch/x86/vmx/* arch/x86/emulate/*)

$(BUILD)/unit/%: selftests/unit/%.c $(UNIT_SOURCES) $(UNIT_HEADERS)
	@mkdir -p $(@D)
	$(CC) $(USER_CFLAGS) -I. -Iselftests/unit/kernel -Isrc -Iarch/x86 -isystem $(KSELFTEST) \
		-isystem $(KTOOLS)/include -isystem $(KTOOLS)/include/uapi \
		-isystem $(KTOOLS)/../arch/x86/include \
		-isystem $(KTOOLS)/arch/x86/include/uapi -o $@ $< $(KTOOLS)/lib/vsprintf.c

# Those of the tool link what they need of it.
TOOL_ARCHIVE := $(BUILD)/tool/dragonfly.a

$(TOOL_ARCHIVE): $(filter-out $(BUILD)/tool/main.o,$(TOOL_OBJECTS))
	rm -f $@
	$(AR) rcs $@ $^

$(BUILD)/unit/tool/%: selftests/unit/tool/%.c $(TOOL_ARCHIVE) $(UNIT_HEADERS)
	@mkdir -p $(@D)
	$(CC) $(TOOL_CFLAGS) -isystem $(KSELFTEST) -o $@ $< $(TOOL_ARCHIVE) -ljson-c -pthread

unit: $(UNIT_TESTS)	## run the tests of pure logic, on this machine
	@status=0; for t in $(UNIT_TESTS); do $$t || status=1; done; exit $$status

# --- running it -----------------------------------------------------------

demo:	## boot a Debian guest on Dragonfly in a test host, with a disk and a network
	@tools/demo/demo

shell:	## the same, with a shell in the guest
	@tools/demo/demo shell

check:	## build, lint, unit tests, and every selftest in test hosts
	@selftests/check

check-long:	## what takes long: a million interrupts, 64 MiB through queues, 16 guests, 100 VMs for ten minutes
	@selftests/check long

check-debug:	## of those, what runs on the kernel with KASAN, lockdep and the rest of the checkers
	@selftests/check debug

lint:	## every static checker; no warning is too small
	@tools/lint/lint

lint-selftest:	## prove that each checker finds a seeded bug
	@tools/lint/selftest

# ENGINE=kvm measures what this machine has; BASELINE=FILE is an earlier results.json.
bench:	## measure against KVM, in instructions of an emulated CPU
	@tools/bench/bench $(if $(ENGINE),--engine $(ENGINE)) $(if $(BASELINE),--baseline $(BASELINE))

$(BUILD)/bench/client: $(wildcard tools/bench/*.[ch] selftests/*.h)
	@mkdir -p $(@D)
	$(CC) $(USER_CFLAGS) -Iselftests -o $@ $(filter tools/bench/%.c,$^) -pthread -lm

# --- installing -----------------------------------------------------------

install: module tool	## into DESTDIR: the module for KDIR, the tool, its completion and man page, the udev rule
	$(MAKE) -C $(KDIR) M=$(abspath $(BUILD))/$(call release_of,$(KDIR)) \
		$(if $(DESTDIR),INSTALL_MOD_PATH=$(DESTDIR)) modules_install
	install -D -m 0755 $(BUILD)/dragonfly $(DESTDIR)$(PREFIX)/bin/dragonfly
	install -D -m 0644 tools/dragonfly/completion.bash \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions/dragonfly
	install -D -m 0644 Documentation/dragonfly.1 $(DESTDIR)$(PREFIX)/share/man/man1/dragonfly.1
	install -D -m 0644 tools/udev/60-dragonfly.rules $(DESTDIR)/usr/lib/udev/rules.d/60-dragonfly.rules

clean:	## remove build/
	rm -rf $(BUILD)
