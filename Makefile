# Everything a contributor runs. `make help` lists it.
.NOTPARALLEL:
.PHONY: help build check docs unit boot test powercut powercut-scripts powercut-kill powercut-writes image parts parts-armhf tools bench clean

UNIT := $(patsubst %.ts,build/%.js,$(shell find test -name '*.test.ts' -not -path 'test/boot/*'))
BOOT := $(patsubst %.ts,build/%.js,$(shell find test/boot -name '*.test.ts' 2>/dev/null))

# A file of tests that hangs fails after a quarter of an hour; the slowest, systemd's boots, takes half of that on two processors.
RUN_TESTS := node --test --test-timeout=900000

# Downloads, and what is unpacked of them: kept by `make clean`.
CACHE ?= .cache
ARMHF := $(CACHE)/debian/armhf
ARM64 := $(CACHE)/debian/arm64
# Every driver and device tree of arm64, where the other has virtio alone.
ARM64_BOARDS := $(CACHE)/debian/arm64-boards
AMD64 := $(CACHE)/debian/amd64
DMSETUP := $(CACHE)/debian/dmsetup-arm64
DEMO := out/demo
# Of this machine's architecture: its start scripts run in a container.
SYSVINIT := sysv-rc initscripts startpar sysvinit-utils insserv
# A Debian with systemd that a person would call complete, without its documentation.
SYSTEMD := base-files base-passwd bash busybox-static coreutils dash dbus diffutils e2fsprogs fdisk findutils grep \
  hostname kmod login mount passwd procps sed systemd systemd-sysv tar udev util-linux
# A root file system of some 350 MB: programs, libraries, text, a kernel with its modules.
BENCH := linux-image-cloud-arm64 base-files busybox-static systemd systemd-sysv udev coreutils bash dash mount util-linux \
  git cmake cmake-data vim-runtime locales python3-numpy gdb iso-codes openssl

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST)

node_modules: package-lock.json
	npm ci --ignore-scripts
	@touch node_modules

build: node_modules ## compile to build/
	npm run --silent build

check: build ## format and lint
	npx biome check .

docs: build ## make docs/profiles.md from the schema of profiles, and the costs in docs/outputs.md from what was measured
	node scripts/profile-docs.mjs
	node scripts/cost-docs.mjs

unit: build ## the tests that need no emulator
	$(RUN_TESTS) --test-concurrency=2 $(UNIT)

boot: build parts ## boot images in QEMU
	$(RUN_TESTS) --test-concurrency=2 $(BOOT)

# With CI set, a test that would skip fails. Mounting takes root.
AS_ROOT := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

# In one go: node takes the files by their names, those of test/boot, which last longest, before nearly all others, so that no
# processor waits for the last of them. Three at a time, also on two processors: what mounts, syncs and boots waits now and then.
test: tools check parts ## everything, nothing skipped; installs what the tests need, and mounts images as root
	$(AS_ROOT) env "PATH=$$PATH" CI=1 $(RUN_TESTS) --test-concurrency=3 $(BOOT) $(UNIT)

# How many cuts, how many points of what was written, and which. The tests of `make test` take a few of each.
CUTS ?= 200
POINTS ?= 1000
SEED ?= 1
SCRIPTS_CUT := $(patsubst %.ts,build/%.js,$(shell grep -l POWER_CUTS test/overlay/*.test.ts))

powercut: tools build parts powercut-scripts powercut-kill powercut-writes ## cut the power often: CUTS=200 POINTS=1000 SEED=1

# Its three parts, for a machine that has them all made: before every program of the scripts, on this machine's kernel; QEMU killed;
# what QEMU wrote, replayed.
powercut-scripts:
	$(AS_ROOT) env "PATH=$$PATH" CI=1 POWER_CUTS=all node --test --test-concurrency=2 $(SCRIPTS_CUT)

powercut-kill:
	CI=1 CUTS=$(CUTS) SEED=$(SEED) node --test build/test/boot/power-cuts.test.js
	CI=1 SLOT_CUTS=20 node --test --test-name-pattern='power is cut' build/test/boot/slots.test.js

powercut-writes:
	CI=1 GROWTHS=all node --test build/test/boot/growth-writes.test.js
	$(AS_ROOT) env "PATH=$$PATH" CI=1 POINTS=$(POINTS) SEED=$(SEED) BOOTED=all node --test build/test/boot/log-writes.test.js

tools:
	scripts/install-test-tools.sh

parts: parts-armhf ## fetch kernels, bootloaders and BusyBox from Debian, and make root file systems of them
	scripts/fetch-debian-parts.sh arm64 $(ARM64) linux-image-cloud-arm64 busybox-static u-boot-qemu
	scripts/fetch-debian-parts.sh arm64 $(ARM64_BOARDS) linux-image-arm64 busybox-static
	scripts/fetch-debian-parts.sh amd64 $(AMD64) linux-image-cloud-amd64 busybox-static
	scripts/fetch-debian-parts.sh arm64 $(DMSETUP) dmsetup libdevmapper1.02.1 libudev1 libselinux1 libpcre2-8-0 libc6 libcap2
	scripts/make-demo-rootfs.sh $(ARM64) $(DEMO)/arm64
	scripts/make-demo-rootfs.sh $(ARM64_BOARDS) $(DEMO)/arm64-boards bcm2837-rpi-3-b.dtb imx8mp-evk.dtb
	scripts/make-demo-rootfs.sh $(AMD64) $(DEMO)/amd64
	scripts/fetch-debian-parts.sh --with-dependencies arm64 $(CACHE)/debian/systemd $(SYSTEMD)
	scripts/fetch-debian-parts.sh "$$(dpkg --print-architecture)" $(CACHE)/debian/sysvinit $(SYSVINIT)
	scripts/make-systemd-rootfs.sh $(CACHE)/debian/systemd $(DEMO)/arm64/rootfs/lib/modules $(DEMO)/systemd

# What `make image` needs of them.
parts-armhf:
	scripts/fetch-debian-parts.sh armhf $(ARMHF) linux-image-armmp busybox-static u-boot-imx u-boot-qemu
	scripts/make-demo-rootfs.sh $(ARMHF) $(DEMO)/armhf 'imx6dl-colibri-*.dtb' imx6q-sabrelite.dtb

image: build parts-armhf ## a Colibri iMX6 image from real parts, in out/colibri-imx6
	node build/src/cli/main.js --profile colibri-imx6 --output out/colibri-imx6 \
	  --boot-files $(DEMO)/armhf/boot --bootloader $(ARMHF)/usr/lib/u-boot/colibri_imx6 \
	  --devices fixtures/demo/devices.txt $(DEMO)/armhf/rootfs
	@echo 'Boot it in QEMU: npx imgbuild boot out/colibri-imx6'

bench: tools build ## compare with mksquashfs and genimage: time, memory, size
	scripts/fetch-debian-parts.sh arm64 $(CACHE)/debian/bench $(BENCH)
	node build/bench/main.js $(CACHE)/debian/bench $(BENCHFLAGS)

clean: ## remove what was built; downloads stay in .cache/
	rm -rf build out
