# Builds, tests and demonstrates the two modules.  "make" prints the targets.

# What can be chosen: another nginx, a named build, extra compiler flags.
# NGINX_SRC is a source tree of the version that NGINX is; the modules are
# loadable by any nginx of that version that was built --with-compat.

NGINX ?=	/usr/sbin/nginx
SUITE_NGINX ?=	$(NGINX)
NGINX_SRC ?=	/usr/share/nginx/src
BUILD ?=	release
CC =		gcc
CLANG ?=	clang
CFLAGS ?=
PORT ?=		8080
ADMIN_PORT ?=	8081
FUZZ_SECONDS ?=	600
CHAOS_SECONDS ?= 600
SEEDS ?=	10000
PROVE_FLAGS ?=
TESTS ?=	$(sort $(wildcard t/*.t t/*/*.t))
JOBS :=		$(shell nproc 2>/dev/null || echo 1)

# Files of the suite run side by side where each can have a network of its own:
# one more than there are processors, since they wait for most of their time.

PROVE_JOBS ?=	$(shell tools/alone && expr $(JOBS) + 1 || echo 1)

TOP :=		$(CURDIR)
OUT :=		$(TOP)/build
OBJ =		$(OUT)/$(BUILD)
MODULES =	$(OBJ)/ngx_http_tbucket_module.so \
		$(OBJ)/ngx_http_lb_upstream_module.so

# Debian packages, by what needs them.

DEPS_BUILD =	gcc libc6-dev libhiredis-dev libsqlite3-dev libxxhash-dev \
		libyajl-dev libssl-dev libpcre2-dev zlib1g-dev
ifeq ($(NGINX_SRC),/usr/share/nginx/src)
DEPS_BUILD +=	nginx nginx-dev
endif
DEPS_DEMO =	python3-minimal libpython3-stdlib
DEPS_UNIT =	libcmocka-dev liblua5.1-0-dev libpython3-stdlib python3-minimal \
		redis-server tzdata
DEPS_RACE =	clang libclang-rt-dev
DEPS_SUITE =	iproute2 perl libtest-base-perl libjson-validator-perl libyaml-pp-perl \
		python3-grpcio \
		libfaketime openssl prometheus redis-server redis-sentinel \
		sqlite3 curl chromium fonts-dejavu-core \
		$(if $(shell command -v npm),,nodejs npm)
DEPS_BENCH =	perl valgrind wrk apache2-utils gnuplot-nox openssl \
		python3-minimal redis-server \
		libpython3-stdlib
DEPS_PACKAGE =	build-essential debhelper nginx-dev lintian fakeroot make
DEPS_LINT =	clang clang-format clang-tidy cppcheck shellcheck binutils \
		lua5.1 lua-check perl libtest-base-perl python3-minimal libpython3-stdlib

need =		@$(TOP)/tools/deps

# The flags of a named build.  A request passes through several files, which
# gcc joins when it links; clang needs a plugin of the linker for that.  Two
# numbers that are stored side by side would go through a vector register,
# which takes twice the instructions.

LTO =		$(if $(findstring clang,$(CC)),,-flto=auto)

OPT_release =	-O2 -fno-tree-slp-vectorize $(LTO)
OPT_debug =	-O0 -g3
OPT_sanitize =	-O1 -fno-omit-frame-pointer -fsanitize=address,undefined \
		-fno-sanitize-recover=undefined
OPT_coverage =	-O0 --coverage -fprofile-update=atomic

ifeq ($(origin OPT_$(BUILD)),undefined)
$(error BUILD is "$(BUILD)", it must be release, debug, sanitize or coverage)
endif

MOD_CFLAGS =	-g $(OPT_$(BUILD)) -Wall -Wextra -Werror \
		-fstack-protector-strong $(CFLAGS)
MOD_LDFLAGS =	-Wl,-z,relro -Wl,-z,now \
		$(filter -O% -flto% -fsanitize=% --coverage,$(MOD_CFLAGS))

# nginx takes a variable NGINX in its environment for inherited sockets.

unexport NGINX

# What puts src/common within reach of t/common.t.

PROBE =		$(OBJ)-probe

# Units that would take minutes under valgrind, and what of the suite runs
# there.

SLOW_UNITS =	$(addprefix t/unit/limit/,test_tb_bucket.c \
		test_tb_table_interleave.c test_tb_table_flood.c \
		test_tb_table_kill.c) t/unit/balance/test_lb_methods.c
VALGRIND_TESTS ?= t/lb/api.t t/lb/round_robin.t $(addprefix t/tbucket/,api.t \
		headers.t keys.t limit.t phases.t refusal.t several.t)

# A sub-make uses all processors unless this make was told how many.

PARALLEL =	$(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(JOBS))

SUITE_ENV =	TEST_NGINX_BINARY=$(SUITE_NGINX) TEST_NGINX_RANDOMIZE=1 \
		TEST_NGINX_LOAD_MODULES="$(MODULES)" \
		TEST_PROBE_MODULE=$(PROBE)/ngx_http_probe_module.so

.DELETE_ON_ERROR:
.PHONY:		help deps build modules configured demo test unit simulate \
		race suite transports chaos probe asan asan-unit valgrind coverage fuzz bench \
		lint format install package clean FORCE

help:		# what there is
	@echo 'usage: make TARGET [NAME=VALUE ...]'
	@echo
	@sed -n 's/^\([a-z]*\):.*# \(.*\)/  \1|\2/p' $(firstword $(MAKEFILE_LIST)) \
	    | awk -F'|' '{ printf "%-11s%s\n", $$1, $$2 }'
	@echo
	@echo '  NGINX=$(NGINX)  NGINX_SRC=$(NGINX_SRC)'
	@echo '  BUILD=release|debug|sanitize|coverage  PORT=$(PORT)  ADMIN_PORT=$(ADMIN_PORT)'
	@echo '  TESTS="t/a.t ..."  PROVE_JOBS=$(PROVE_JOBS)  RATE=, CAPACITY= (demo)'

deps:		# install every Debian package the other targets use
	$(need) $(sort $(DEPS_BUILD) $(DEPS_DEMO) $(DEPS_UNIT) $(DEPS_RACE) \
	    $(DEPS_SUITE) $(DEPS_BENCH) $(DEPS_LINT) $(DEPS_PACKAGE))

build:		# build both modules into build/BUILD
build: modules
	@ls -l $(MODULES)

# nginx's configure runs on a copy of the tree, so that a read-only one will
# do, and again when anything that it depends on has changed.

modules:	configured
	@cd $(OBJ)/nginx && $(MAKE) --no-print-directory $(PARALLEL) -s \
	    -f $(OBJ)/Makefile modules

configured:	FORCE
	$(need) $(DEPS_BUILD)
	@NGINX_BIN='$(NGINX)' CC='$(CC)' $(TOP)/tools/configure '$(NGINX_SRC)' \
	    '$(OBJ)' '$(MOD_CFLAGS)' '$(MOD_LDFLAGS)'

probe:		FORCE
	$(need) $(DEPS_BUILD)
	@NGINX_BIN='$(NGINX)' CC='$(CC)' $(TOP)/tools/configure '$(NGINX_SRC)' \
	    '$(PROBE)' '$(MOD_CFLAGS)' '$(MOD_LDFLAGS)' '$(TOP)/t/lib/probe'
	@cd $(PROBE)/nginx && $(MAKE) --no-print-directory $(PARALLEL) -s \
	    -f $(PROBE)/Makefile modules

demo:		# run a gateway over three backends; Ctrl-C ends it
demo: modules
	$(need) $(DEPS_DEMO)
	@NGINX_BIN='$(NGINX)' MODULES='$(OBJ)' PORT='$(PORT)' \
	    ADMIN_PORT='$(ADMIN_PORT)' RATE='$(RATE)' \
	    CAPACITY='$(CAPACITY)' DEMO_DIR='$(DEMO_DIR)' exec $(TOP)/docker/demo.py

test:		# unit tests, ThreadSanitizer stress and the nginx suite
	@$(MAKE) --no-print-directory unit
	@$(MAKE) --no-print-directory race
	@$(MAKE) --no-print-directory suite
	@$(MAKE) --no-print-directory transports

# Our t/lib/Test/Nginx stands in for Test::Nginx from CPAN where that is not
# installed.

PROVE =		env $(SUITE_ENV) PERL5LIB=$(shell \
		perl -MTest::Nginx::Socket -e 1 2>/dev/null || echo $(TOP)/t/lib) \
		prove -j$(PROVE_JOBS) --timer $(PROVE_FLAGS) \
		--exec '$(TOP)/tools/alone perl'

suite:		# the nginx suite only
suite: modules probe
	$(need) $(DEPS_SUITE)
	@$(TOP)/tools/browser $(OUT)/browser
	@$(PROVE) $(TESTS)

# The main file of the store once more for each way to a server.

transports:	# the Redis store over TLS, sockets, Sentinel, a cluster
transports: modules probe
	$(need) $(DEPS_SUITE)
	@printf '%s\n' tls unix sentinel cluster \
	    | xargs -P $(PROVE_JOBS) -I WAY env TEST_REDIS=WAY \
	        $(PROVE) t/tbucket/store_redis.t

chaos:		# everything at once, for CHAOS_SECONDS=600
chaos:
	@CHAOS_SECONDS='$(CHAOS_SECONDS)' $(MAKE) --no-print-directory suite \
	    TESTS=t/chaos.t PROVE_FLAGS='-v $(PROVE_FLAGS)'

# Units: each test_*.c (and race_*.c) of t/unit, which has the folders of
# src/core, is a program of its own.  It is linked with src/core as an archive,
# so that it may include a source and have that compiled in its own way.  $(1)
# is the directory, $(2) the compiler, $(3) its flags, $(4) the sources of
# programs.

UNIT_CFLAGS =	-g -Wall -Wextra -Werror -I$(TOP) -I$(dir $(SCRIPTS)) \
		-I/usr/include/lua5.1 -pthread
UNIT_LIBS =	-lyajl -lhiredis -lpthread -lm
UNITS :=	$(sort $(wildcard t/unit/test_*.c t/unit/*/test_*.c))
RACES :=	$(sort $(wildcard t/unit/*/race_*.c))
CORE :=		$(wildcard src/core/*/*.c)
SCRIPTS =	$(OUT)/scripts/ngx_gw_scripts.h

$(SCRIPTS): tools/embed $(wildcard src/redis/*.lua)
	@mkdir -p $(@D)
	@$^ >$@

# the programs in directory $(1) that the sources $(2) make

bin =		$(patsubst t/unit/%.c,$(OUT)/$(1)/bin/%,$(2))

define programs
$(OUT)/$(1)/core/%.o: src/core/%.c
	@mkdir -p $$(@D)
	@$(2) -std=c11 $$(UNIT_CFLAGS) $(3) $$(CFLAGS) -MMD -MP -c -o $$@ $$<

$(OUT)/$(1)/t/%.o: t/unit/%.c | $(SCRIPTS)
	@mkdir -p $$(@D)
	@$(2) -std=gnu11 $$(UNIT_CFLAGS) $(3) $$(CFLAGS) -MMD -MP -c -o $$@ $$<

$(OUT)/$(1)/core.a: $(patsubst src/core/%.c,$(OUT)/$(1)/core/%.o,$(CORE))
	@rm -f $$@
	@ar rcs $$@ $$^

$(OUT)/$(1)/bin/%: $(OUT)/$(1)/t/%.o $(OUT)/$(1)/core.a
	@mkdir -p $$(@D)
	@$(2) $(3) -o $$@ $$^ $$(UNIT_LIBS) $$(if $$(findstring /test_,$$@),-lcmocka) \
	    $$(if $$(findstring /lease/,$$@),-llua5.1)

.SECONDARY: $(patsubst t/unit/%.c,$(OUT)/$(1)/t/%.o,$(4)) \
    $(patsubst src/core/%.c,$(OUT)/$(1)/core/%.o,$(CORE))

$(1)-programs: $(call bin,$(1),$(4))
.PHONY: $(1)-programs

-include $(wildcard $(OUT)/$(1)/t/*.d $(OUT)/$(1)/*/*/*.d)
endef

$(eval $(call programs,unit,$(CC),-O1,$(UNITS)))
$(eval $(call programs,unit-asan,$(CC),$(OPT_sanitize),$(UNITS)))
$(eval $(call programs,unit-coverage,$(CC),$(OPT_coverage),$(UNITS)))
$(eval $(call programs,race,$(CLANG),-O1 -fsanitize=thread,$(RACES)))

run =		@JOBS=$(JOBS) $(TOP)/tools/run-programs

unit:		# unit tests of src/core
	$(need) $(DEPS_BUILD) $(DEPS_UNIT)
	@$(MAKE) --no-print-directory $(PARALLEL) unit-programs
	$(run) $(call bin,unit,$(UNITS))

SIMULATION =	$(OUT)/unit/bin/lease/test_tb_lease_sim

simulate:	# SEEDS=10000 runs of the lease protocol in virtual time
	$(need) $(DEPS_BUILD) $(DEPS_UNIT)
	@$(MAKE) --no-print-directory $(PARALLEL) $(SIMULATION)
	@seq 1 100 $(SEEDS) | xargs -P $(JOBS) -I SEED env LEASE_FROM=SEED \
	    LEASE_RUNS=100 $(SIMULATION) test_never_too_much \
	    >$(OUT)/simulate.log 2>&1 \
	    || { grep '^seed' $(OUT)/simulate.log; exit 1; }
	@echo 'no more than the limit is admitted by any of $(SEEDS) seeds'

race:		# stress of src/core under ThreadSanitizer
	$(need) $(DEPS_BUILD) $(DEPS_RACE)
	@$(MAKE) --no-print-directory $(PARALLEL) race-programs
	$(run) $(call bin,race,$(RACES))

asan-unit:
	$(need) $(DEPS_BUILD) $(DEPS_UNIT)
	@$(MAKE) --no-print-directory $(PARALLEL) unit-asan-programs
	$(run) $(call bin,unit-asan,$(UNITS))

asan:		# unit tests and suite under ASan, LSan and UBSan
asan: asan-unit
	@$(MAKE) --no-print-directory modules BUILD=sanitize
	@NGINX_BIN='$(NGINX)' MUTATION_SECONDS=60 $(TOP)/tools/asan \
	    $(OUT)/sanitize $(MAKE) --no-print-directory suite BUILD=sanitize

# Suites in the format of Test::Nginx: the others tell processes apart by
# titles, which a program under valgrind does not have.

valgrind:	# unit tests and part of the suite under memcheck
valgrind: modules
	$(need) $(DEPS_BUILD) $(DEPS_UNIT) valgrind
	@$(MAKE) --no-print-directory $(PARALLEL) unit-programs
	@$(TOP)/tools/valgrind $(OUT)/valgrind \
	    $(call bin,unit,$(filter-out $(SLOW_UNITS),$(UNITS)))
	@NGINX_BIN='$(NGINX)' $(TOP)/tools/valgrind $(OUT)/valgrind \
	    $(MAKE) --no-print-directory suite TESTS='$(VALGRIND_TESTS)'

coverage:	# lines that unit tests and suite execute
	$(need) $(DEPS_BUILD) $(DEPS_UNIT)
	@find $(OUT) -name '*.gcda' -delete 2>/dev/null || :
	@$(MAKE) --no-print-directory $(PARALLEL) unit-coverage-programs
	$(run) $(call bin,unit-coverage,$(UNITS))
	@TEST_GRACEFUL=1 $(MAKE) --no-print-directory suite BUILD=coverage
	@$(TOP)/tools/coverage 95 85 $(OUT)/unit-coverage $(OUT)/coverage

fuzz:		# fuzz every parser, FUZZ_SECONDS=600 seconds each
	$(need) $(DEPS_BUILD) $(DEPS_RACE)
	@CLANG='$(CLANG)' $(TOP)/fuzz/run $(OUT)/fuzz '$(FUZZ_SECONDS)'

bench:		# measure against nginx's own, as ratios
bench: modules
	$(need) $(DEPS_BUILD) $(DEPS_BENCH)
	@NGINX_BIN='$(NGINX)' MODULES='$(MODULES)' $(TOP)/bench/run

lint:		# clang-format, clang-tidy, cppcheck, boundaries, scripts
lint: modules
	$(need) $(DEPS_BUILD) $(DEPS_LINT) $(DEPS_UNIT)
	@$(TOP)/tools/lint $(OBJ)

format:		# let clang-format rewrite the sources
	$(need) clang-format python3-minimal libpython3-stdlib
	@$(TOP)/tools/format $$($(TOP)/tools/sources c)

install:	# copy the modules to nginx's modules path (DESTDIR=)
install: modules
	@NGINX_BIN='$(NGINX)' $(TOP)/tools/install '$(DESTDIR)' $(MODULES)

package:	# Debian packages, in build/package
	$(need) $(DEPS_BUILD) $(DEPS_PACKAGE)
	@$(TOP)/tools/package $(OUT)/package

clean:		# remove build/
	@rm -rf $(OUT) t/servroot*
