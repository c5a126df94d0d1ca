# haul: move very large files without building up page cache.
#
#   make            build/haul            make check      install what the tests need, build, run every test
#                                         check ARCH=i386 with 32-bit programs, what they need fetched below build/
#   make demo       the main job, shown   make bench      haul beside its peers, as ratios; also
#   make install    DESTDIR, PREFIX; make uninstall        bench-resume, -remote, -small, -picture, -neighbour (see bench/run*)
#   make deps       install the packages that are missing; so do demo, check and bench. `make` itself only looks for them.
#   make agent      static programs for other machines, which --bootstrap brings there: AGENTS="x86_64 i386 aarch64";
#                   check-agents tries them all; check-vm32 the one for i386 on a 32-bit kernel with little memory;
#                   check-systems builds and tests haul on other systems, made by debootstrap
#   make dist       build/haul-VERSION.tar.gz; make deb: Debian packages; check-packages tries what packages bring
#
# Settings: CC, CFLAGS, LDFLAGS, PKG_CONFIG, SAN=address,undefined; WITH_SSH=0, WITH_URING=0, WITH_ZSTD=0 leave a library out;
# WERROR=1 makes warnings errors, as CI does (not everybody's `make check`: compilers to come know more of them); V=1 shows the commands.

CC         ?= cc
PREFIX     ?= /usr/local
PKG_CONFIG ?= pkg-config
CFLAGS     ?= -O2 -g
# A static program cannot load a library of another C library's copy: it would crash when a host is named.
STATIC     := $(filter -static -static-pie,$(CC) $(CFLAGS) $(LDFLAGS))
WITH_URING ?= 1
WITH_ZSTD  ?= 1
WITH_SSH   ?= $(if $(STATIC),0,1)
BUILD      := build$(if $(SAN),/san)
AGENTS     ?= x86_64 i386 aarch64
AGENTS_HERE := $(if $(filter x86_64,$(shell uname -m)),x86_64 i386,$(shell uname -m))

ifneq ($(and $(STATIC),$(filter-out 0,$(WITH_SSH))),)
$(error a static program cannot load libssh: leave out WITH_SSH=$(WITH_SSH) (-e ssh works all the same) or $(STATIC))
endif

quoted      = '$(subst ','\'',$(1))'
# Whoever says WITH_SSH=0 need not be told that a static program is built without.
ASKED      := $(if $(filter file,$(origin WITH_SSH)),NOTE_SSH=1 )$(foreach name,CC CPPFLAGS CFLAGS LDFLAGS PKG_CONFIG WITH_SSH WITH_URING WITH_ZSTD,$(name)=$(call quoted,$($(name))))

# What src/detect found: FOUND_CPPFLAGS, FOUND_LIBS. Goals that only call make again, or build nothing, need none of it.
LOOSE_GOALS := all demo check check-agents check-vm32 check-systems stress soak bench bench-resume bench-remote bench-small bench-picture bench-neighbour deps deps-test deps-picture dist deb uninstall syntax clean
ifneq ($(filter-out $(LOOSE_GOALS) syntax/%,$(or $(MAKECMDGOALS),all)),)
WHY := $(shell $(ASKED) src/detect $(BUILD)/found.mk)
$(if $(filter-out 0,$(.SHELLSTATUS)),$(error $(or $(WHY),src/detect failed)))
include $(BUILD)/found.mk
endif

VERSION    := $(shell sed -n 's/^## \[\([0-9][^]]*\)\].*/\1/p' CHANGELOG.md 2>/dev/null | head -n 1)
WARNINGS   := -Wall -Wextra -Wconversion -Wshadow -Wvla -Wstrict-prototypes -Wmissing-prototypes $(if $(WERROR),-Werror)
ALL_CPPFLAGS := -Iinclude -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -D_TIME_BITS=64 -DHAUL_VERSION='"$(VERSION)"' \
                -DWITH_SSH=$(WITH_SSH) -DWITH_URING=$(WITH_URING) -DWITH_ZSTD=$(WITH_ZSTD) \
                -DWITH_NSS=$(if $(STATIC),0,1) $(FOUND_CPPFLAGS) $(CPPFLAGS)
ALL_CFLAGS := -std=gnu11 $(WARNINGS) $(CFLAGS) -pthread $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all \
              -fno-omit-frame-pointer)
LIBS       := $(FOUND_LIBS)

SOURCES    := $(sort $(wildcard src/*/*.c))
OBJECTS    := $(SOURCES:%.c=$(BUILD)/%.o)
LIBRARY    := $(BUILD)/libhaul.a
# In the program what most runs need comes first, then what only remote ones do, then what few need: where a page is needed
# the kernel maps the 64 KiB around, and they count as memory.
SELDOM     := base/blocks base/glob base/library base/names base/pack base/rules_text base/text_columns base/whole cli/digest_file cli/doctor cli/inspect \
              cli/elsewhere cli/list cli/plan% cli/prove cli/server cli/units cli/version copy/expand copy/lane_trial copy/life_digest copy/tour% disk/beneath disk/descent disk/details \
              disk/device disk/engine_sync disk/engine_threads disk/entry disk/insertions disk/listing disk/node disk/probe \
              disk/removal disk/replace disk/small disk/snapshot disk/spill disk/tracing disk/walk% side/local_entry side/local_probe \
              side/local_salvage side/local_stream
REMOTE     := net/% wire/%
ALWAYS     := net/address
late        = $(filter $(1:%=$(BUILD)/src/%.o),$(filter-out $(ALWAYS:%=$(BUILD)/src/%.o),$(OBJECTS)))
ORDERED    := $(call late,$(REMOTE)) $(call late,$(SELDOM))
ORDERED    := $(filter-out $(ORDERED),$(OBJECTS)) $(ORDERED)
UNIT_TESTS := $(patsubst tests/unit/%.c,$(BUILD)/tests/unit/%,$(sort $(wildcard tests/unit/test_*.c)))
SIM_TESTS  := $(patsubst tests/sim/%.c,$(BUILD)/tests/sim/%,$(sort $(wildcard tests/sim/sim_*.c)))
TOOLS      := $(patsubst tests/lib/%.c,$(BUILD)/tests/lib/%,$(sort $(wildcard tests/lib/*.c))) \
              $(patsubst tests/lib/%.c,$(BUILD)/tests/lib/%.so,$(sort $(wildcard tests/lib/preload/*.c tests/lib/bash/*.c)))
FUZZERS    := $(patsubst tests/fuzz/%.c,$(BUILD)/tests/fuzz/%,$(sort $(wildcard tests/fuzz/fuzz_*.c)))
BENCHES    := $(patsubst bench/%.c,$(BUILD)/bench/%,$(sort $(wildcard bench/*.c)))

# As many at a time as there are processors, unless the command line says how many.
PARALLEL = $(MAKE) --no-print-directory $(if $(findstring -j,$(MAKEFLAGS)),,-j$(shell nproc))

# One short line for each step.
say = $(if $(V),,@echo '  $(1) $(@:$(BUILD)/%=%)';)

.PHONY: all build agent agents-here demo check check-agents check-packages check-vm32 check-systems bench bench-resume bench-remote bench-small bench-picture bench-neighbour stress soak install uninstall dist deb deps deps-test deps-picture tests-build syntax clean FORCE
.SECONDARY:
.DELETE_ON_ERROR:

all:
	@+$(PARALLEL) build

build: $(BUILD)/haul

# A change of compiler or flags rebuilds everything.
CONFIG := $(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) $(LDFLAGS) $(LIBS)
$(BUILD)/config: FORCE
	@mkdir -p $(@D)
	@echo $(call quoted,$(CONFIG)) | cmp -s - $@ || echo $(call quoted,$(CONFIG)) >$@
FORCE:

$(BUILD)/%.o: %.c $(BUILD)/config
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

# The library is everything but main(), so that the tests can link it.
$(LIBRARY): $(filter-out $(BUILD)/src/cli/main.o,$(OBJECTS))
	@rm -f $@
	$(call say,AR)$(AR) rcs $@ $^

$(BUILD)/haul: $(ORDERED)
	$(call say,LD)$(CC) $(ALL_CFLAGS) -Wl,-z,now $(LDFLAGS) -o $@ $^ $(LIBS)

$(BUILD)/tests/unit/%: $(BUILD)/tests/unit/%.o $(LIBRARY)
	$(call say,LD)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ -lcmocka $(LIBS)

$(BUILD)/tests/sim/%: $(BUILD)/tests/sim/%.o $(LIBRARY)
	$(call say,LD)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS)

# Fuzz targets, replaying and mutating their corpora (tests/fuzz/replay.c is the driver).
$(BUILD)/tests/fuzz/fuzz_%: $(BUILD)/tests/fuzz/fuzz_%.o $(BUILD)/tests/fuzz/replay.o $(LIBRARY)
	$(call say,LD)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS)

# The memory of its runs is the simulation's own, and it knows who takes lines of the log (memory_sim.h, link_sim.h).
$(BUILD)/tests/sim/sim_copies: private LDFLAGS += -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=aligned_alloc \
  -Wl,--wrap=posix_memalign,--wrap=free,--wrap=serve_notes_open,--wrap=serve_notes_close

# Its links are to a server of its own (fuzz_copy.c).
$(BUILD)/tests/fuzz/fuzz_copy: private LDFLAGS += -Wl,--wrap=link_open

# Test tools stand alone: they must not share haul's mistakes. FUSE ones link libfuse3, whose times have 32 bits on 32-bit
# machines.
$(BUILD)/tests/lib/fuse_%: tests/lib/fuse_%.c $(BUILD)/config
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(filter-out -D_TIME_BITS=64,$(ALL_CPPFLAGS)) -std=gnu11 $(WARNINGS) -MMD -MP -O2 -g -pthread $(shell pkg-config --cflags fuse3 2>/dev/null) -o $@ $< \
	  $(shell pkg-config --libs fuse3 2>/dev/null)

# What is preloaded is of the program's kind of machine; where that is not bash's it does without what it loads.
$(BUILD)/tests/lib/%.so: tests/lib/%.c $(BUILD)/config
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(ALL_CPPFLAGS) -std=gnu11 $(WARNINGS) -O2 -g -shared -fPIC -o $@ $<

# They are begun so often that libraries to be loaded would be most of their time.
static = $(eval static := $(shell echo 'int main(void) { return 0; }' | $(CC) -static -x c -o /dev/null - 2>/dev/null && echo -static))$(static)
$(BUILD)/tests/lib/%: tests/lib/%.c $(BUILD)/config
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(ALL_CPPFLAGS) -std=gnu11 $(WARNINGS) -MMD -MP -O2 -g -pthread $(static) -o $@ $<

$(BUILD)/bench/%: bench/%.c $(BUILD)/config
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(ALL_CPPFLAGS) -std=gnu11 $(WARNINGS) -MMD -MP -O2 -g -pthread -o $@ $<

# What a machine of another kind needs comes from the Debian archive into $(BUILD)/fetch; nothing is installed.
make_agents = MAKE="$(MAKE)" CC=$(call quoted,$(CC)) src/agent $(BUILD)
agent: build
	@+$(make_agents) $(AGENTS)

# Debian packages, of what was committed; haul-agents holds what 'make agent' has built, made anew where it is older than that,
# else the one of this machine.
DEB := $(BUILD)/deb/haul-$(VERSION)
AGENTS_BUILT = $(patsubst $(BUILD)/haul-agent-%,%,$(wildcard $(BUILD)/haul-agent-*))
deb: dist
	@$(ASKED) tests/lib/deps deb
	@+$(if $(AGENTS_BUILT),$(MAKE) --no-print-directory agent AGENTS="$(AGENTS_BUILT)")
	@rm -rf $(BUILD)/deb && mkdir -p $(DEB)
	@cp $(BUILD)/haul-$(VERSION).tar.gz $(BUILD)/deb/haul_$(VERSION).orig.tar.gz
	@tar -xf $(BUILD)/haul-$(VERSION).tar.gz -C $(BUILD)/deb && cp -r $(DEB)/.packages/debian $(DEB)/debian
	@cd $(DEB) && env -u MAKEFLAGS -u MAKELEVEL -u CC -u CFLAGS $(if $(wildcard $(BUILD)/haul-agents.sums),HAUL_AGENTS=$(abspath $(BUILD))) \
	  dpkg-buildpackage -us -uc
	@lintian --fail-on error,warning $(BUILD)/deb/*.changes
	@mv $(BUILD)/deb/*.deb $(BUILD)/ && ls $(BUILD)/*.deb

# Compiled, and nothing kept: for another kind of machine, whose libraries are not here.
syntax: $(addprefix syntax/,$(SOURCES) $(wildcard tests/unit/*.c tests/sim/*.c tests/fuzz/*.c))
syntax/%: FORCE
	@$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) -fsyntax-only $*

deps:
	@$(ASKED) tests/lib/deps build

deps-test:
	@$(ASKED) tests/lib/deps test

tests-build: $(BUILD)/haul $(UNIT_TESTS) $(SIM_TESTS) $(TOOLS) $(FUZZERS)

demo: deps
	@+$(PARALLEL) build
	@tests/lib/demo $(BUILD)/haul

check: deps-test
ifeq ($(ARCH),)
	@+$(PARALLEL) tests-build agents-here
	@HAUL_QEMU=$$(tests/lib/emulator $(BUILD)) tests/lib/check $(BUILD)
else # programs of another kind of machine that this one runs, too, with the libraries of that one
	@+$(PARALLEL) agents-here
	@[ ! -e build/haul-agent-$(ARCH) ] || build/haul-agent-$(ARCH) -V >/dev/null || \
	  { echo "haul: this kernel does not run programs of $(ARCH), so nothing can be checked with them" >&2; exit 1; }
	@mkdir -p build/$(ARCH) && cp build/haul-agent* build/$(ARCH)/
	@+cross=$$(src/cross build $(ARCH) libssh-dev++ libzstd-dev++ libcmocka-dev++ libfuse3-dev++) && eval "$$cross" && \
	  $(MAKE) --no-print-directory check ARCH= AGENTS_HERE= BUILD=build/$(ARCH) \
	  CC="$$CC -Wl,--dynamic-linker=$$LOADER -Wl,-rpath=$$LIBRARIES -Wl,--disable-new-dtags"
endif

# The agents that run here. 77: what is missing cannot be fetched; the tests then say so.
agents-here: build
	@+$(make_agents) $(AGENTS_HERE) || [ $$? = 77 ]

# All of them, the others run by qemu-user, which is fetched like their compilers.
check-agents: deps-test
	@+$(PARALLEL) tests-build agent
	@HAUL_BUILD=$(BUILD) HAUL_QEMU=$$(tests/lib/emulator $(BUILD) always) \
	  bats tests/cli/61-*.bats tests/cli/62-*.bats tests/agents/*.bats

# haul on a 32-bit kernel with little memory, in qemu, which is fetched, and so is the kernel. 77: it cannot be, as was said.
check-vm32: deps-test
	@+$(PARALLEL) build $(BUILD)/tests/lib/fill
	@+$(make_agents) i386 || [ $$? = 77 ]
	@tests/vm32/run $(BUILD) || [ $$? = 77 ]

# What packages bring, in a clean system, and every other way in.
check-packages: deps-test deb
	@$(ASKED) tests/lib/deps packages
	@+$(PARALLEL) tests-build agents-here
	@[ -e $(BUILD)/fetch/clean/bin/sh ] || debootstrap --variant=minbase $$(. /etc/os-release && echo $$VERSION_CODENAME) $(BUILD)/fetch/clean >$(BUILD)/debootstrap.log
	@HAUL_BUILD=$(BUILD) HAUL_CLEAN=$(abspath $(BUILD)/fetch/clean) bats tests/packages/*.bats

# On other systems, of debootstrap, kept below build/systems: SYSTEMS="trixie-gcc sid-gcc", SCENARIOS="10-*.bats". What was green
# is not run again: the same command goes on where it was ended. 77: as above.
check-systems: deps-test
	@$(ASKED) tests/lib/deps deb
	@mkdir -p $(BUILD)
	@tests/systems/run $(BUILD) $(SYSTEMS) || [ $$? = 77 ]

stress: deps-test
	@+$(PARALLEL) tests-build
	@tests/lib/stress $(BUILD)

bench-picture: deps-picture
deps-picture:
	@$(ASKED) tests/lib/deps picture

# Random copies, interrupted, damaged and mended, for SECONDS (1800), from SEED (a number, or random) on; with SAN, too.
soak: deps-test
	@+$(PARALLEL) tests-build
	@/usr/bin/python3 tests/fuzz/soak --seconds=$(or $(SECONDS),1800) --seed=$(or $(SEED),random) $(BUILD)

bench bench-resume bench-remote bench-small bench-picture bench-neighbour: deps-test
	@+$(PARALLEL) build $(BENCHES) $(TOOLS)
	@bench/$(@:bench%=run%) $(BUILD)

# What install puts where, below PREFIX: "MODE FROM TO". uninstall takes the same away.
COMPLETIONS := $(addprefix $(BUILD)/completions/,bash zsh fish)
FILES_TO_INSTALL = "755 $(BUILD)/haul bin/haul" \
  $(foreach page,$(wildcard man/*.[1-9]),"644 $(page) share/man/man$(subst .,,$(suffix $(page)))/$(notdir $(page))") \
  "644 $(BUILD)/completions/bash share/bash-completion/completions/haul" \
  "644 $(BUILD)/completions/zsh share/zsh/site-functions/_haul" \
  "644 $(BUILD)/completions/fish share/fish/vendor_completions.d/haul.fish"
AGENTS_TO_INSTALL = $(foreach agent,$(wildcard $(BUILD)/haul-agent-*),"755 $(agent) lib/haul/$(notdir $(agent))") \
  $(foreach sums,$(wildcard $(BUILD)/haul-agents.sums),"644 $(sums) lib/haul/$(notdir $(sums))")

# Made of the program's own table of options.
$(BUILD)/completions/%: $(BUILD)/haul src/completions
	@mkdir -p $(@D)
	@src/completions $* $(BUILD)/haul >$@

install: build $(COMPLETIONS)
	@set -e; for file in $(FILES_TO_INSTALL) $(AGENTS_TO_INSTALL); do \
	  set -- $$file; echo "  INSTALL $$3"; install -D -m $$1 $$2 $(call quoted,$(DESTDIR)$(PREFIX))/$$3; done

uninstall:
	@cd $(call quoted,$(DESTDIR)$(PREFIX)) && for file in $(FILES_TO_INSTALL) $(AGENTS:%="- - lib/haul/haul-agent-%") "- - lib/haul/haul-agents.sums"; do \
	  set -- $$file; rm -f $$3; done; [ ! -d lib/haul ] || rmdir lib/haul

# What was committed, and nothing of the machine that packs it: the same digest each time.
dist:
	@mkdir -p $(BUILD)
	@git archive --format=tar --prefix=haul-$(VERSION)/ HEAD | gzip -9n >$(BUILD)/haul-$(VERSION).tar.gz.new
	@mv $(BUILD)/haul-$(VERSION).tar.gz.new $(BUILD)/haul-$(VERSION).tar.gz
	@git diff --quiet HEAD || echo "haul: what is not committed is not in it" >&2
	@echo "  DIST $(BUILD)/haul-$(VERSION).tar.gz"

clean:
	rm -rf build

-include $(OBJECTS:.o=.d) $(wildcard $(BUILD)/tests/*/*.d)
