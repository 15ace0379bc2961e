/**
 * Folding layers into each other, compared with what the kernel shows before and after: layers that random commands leave
 * behind in real overlays, by busybox and dash, cut off at every command.
 */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import fc from "../support/fast-check.js";
import { lacks, lacksRoot, run, temporaryFolder } from "../support/tools.js";

const LAYERS = path.resolve(import.meta.dirname, "../../../src/overlay/layers.sh");
const MOUNTS = path.resolve(LAYERS, "../mounts.sh");
const TOOLS = ["unshare", "busybox", "dash", "find", "md5sum"];

/** What a view shows, names that cannot be looked at included. */
const DESCRIBE = `
describe() {
  mount -t overlay -o "ro,lowerdir=$1" overlay view
  (cd view && { find . -type d -printf '%p d %m %U:%G %Ts\\n' -o -printf '%p %y %m %U:%G %Ts %s %l\\n'; find . -type f -exec md5sum {} +; } 2>&1 | LC_ALL=C sort)
  umount view
}`;

/** Runs a shell script in a mount namespace of its own, on a tmpfs. */
function inside(folder: string, script: string): string {
  const whole = `set -e; mount -t tmpfs tmpfs .; cd "$PWD"; mkdir view work run root; ${DESCRIBE}\n${script}`;
  return run("timeout", ["300", "unshare", "--mount", "--propagation=private", "sh", "-c", whole], { cwd: folder });
}

/** Makes layers/1, layers/2, ... by commands in overlays. Every layer has its own times, so that new ones are noticed. */
function makeLayers(root: string, layers: readonly string[]): string {
  const lines = [`cd root; ${root || ":"}; cd ..; find root -exec touch -h -d @1000 {} +; mkdir layers; lower=root`];
  for (const [i, commands] of layers.entries()) {
    const layer = `layers/${i + 1}`;
    lines.push(
      `mkdir ${layer}; rm -rf work; mkdir work; mount -t overlay -o "lowerdir=$lower,upperdir=${layer},workdir=work" overlay view`,
      `cd view; { ${commands || ":"}; } 2>/dev/null || :; cd ..; umount view`,
      `find ${layer} -depth -exec touch -h -d @${2000 + i} {} +; lower=${layer}:$lower`,
    );
  }
  return lines.join("\n");
}

/** fold of UPPER and LOWER, which ends at the command of number LIMIT as in a power cut; says how many there were. */
const fold = (shell: string, upper: number, lower: number) => `
fold_layers() {
  ${shell} -c '
    run=$PWD/run options= count=0
    . ${MOUNTS}
    . ${LAYERS}
    step() { count=$((count + 1)); [ $count != "$1" ] || exit 9; }
    for program in mv rm rmdir touch chown chmod mkdir mount umount; do
      eval "$program() { step $0; command $program \\"\\$@\\"; }"
    done
    fold "$PWD/layers/${upper}" "$PWD/layers/${lower}"
  ' "$1" || failed=$?
  umount run/fold/new 2>/dev/null || :
  umount run/fold/old 2>/dev/null || :
  umount run/fold/edit 2>/dev/null || :
}`;

const chain = (layers: readonly number[]) => [...layers.map((number) => `layers/${number}`), "root"].join(":");

const name = fc.constantFrom("a", "b", "c");
const place = fc.array(name, { minLength: 1, maxLength: 3 }).map((names) => names.join("/"));
const command = fc.oneof(
  { weight: 3, arbitrary: fc.tuple(place, fc.nat(99)).map(([at, text]) => `[ -p ${at} ] || echo ${text} >${at}`) },
  { weight: 4, arbitrary: place.map((at) => `mkdir -p ${at}`) },
  { weight: 3, arbitrary: place.map((at) => `rm -rf ${at}`) },
  { weight: 3, arbitrary: place.map((at) => `rm -rf ${at}; mkdir ${at}`) },
  { weight: 2, arbitrary: fc.tuple(place, place).map(([from, to]) => `mv -T ${from} ${to}`) },
  { weight: 1, arbitrary: place.map((at) => `ln -s nowhere ${at}`) },
  { weight: 1, arbitrary: fc.tuple(place, place).map(([from, to]) => `ln ${from} ${to}`) },
  { weight: 1, arbitrary: place.map((at) => `mkfifo ${at}`) },
  { weight: 1, arbitrary: place.map((at) => `chmod 1751 ${at}; chown 3:4 ${at}`) },
);
const commands = (maxLength: number) =>
  fc.array(command, { maxLength }).map((list) => list.map((text) => `{ ${text}; } || :`).join("; "));

test("folding any two layers next to each other changes nothing that is seen", (t) => {
  if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
  const folder = temporaryFolder(t);
  let folded = 0;
  fc.assert(
    fc.property(
      commands(8),
      fc.array(commands(8), { minLength: 3, maxLength: 3 }),
      fc.constantFrom("dash", "busybox sh"),
      fc.constantFrom<[number, number, number[]]>([2, 1, [3, 2]], [3, 2, [3, 1]]),
      (root, layers, shell, [upper, lower, rest]) => {
        const script = `{ ${makeLayers(root, layers)}; } 2>/dev/null
          ${fold(shell, upper, lower)}
          describe ${chain([3, 2, 1])} >before
          fold_layers 0
          [ ! "$failed" ]; [ ! "$(ls -A layers/${lower})" ]; [ ! -e run/fold ]
          describe ${chain(rest)} >after
          diff before after; wc -l <before`;
        folded += Number(inside(folder, script));
      },
    ),
    { numRuns: 30 },
  );
  assert.ok(folded > 100, "the layers hold too little for this to say anything");
});

/** What random commands seldom make: each line of the rules meets each other one. */
const ROOT =
  "mkdir -p m/x m/y o/x o/y t; mkdir k; for f in m/f m/x/f m/y/f o/f o/x/f o/y/f t/f k/f; do echo root >$f; done";
const OLD = `echo old >m/x/old; echo old >m/f; rm m/y/f; rm -rf o; mkdir o o/x o/z; echo old >o/x/f; echo old >o/z/old; echo old >o/both;
  mkfifo o/pipe; mkdir new; echo old >new/old; ln -s k link; rm -rf t; echo old >t; rm -r k; chmod 700 m/x; ln m/f hard`;
const NEW = `echo new >m/x/new; rm m/x/old; echo new >m/y/f; rm o/z/old; echo new >o/both; rm -rf o/x; mkdir o/x; echo new >o/x/n;
  chmod 1770 o; chown 7:8 o; rm -rf new; mkdir new; echo new >new/n; rm t; mkdir t; rm link; echo >.hidden; rm o/pipe; mkdir k; echo new >k/n`;

for (const shell of ["dash", "busybox sh"]) {
  test(`cut off at every command it changes nothing that is seen, and goes on, by ${shell}`, (t) => {
    if (lacks(t, ...TOOLS) || lacksRoot(t)) return;
    const script = `${makeLayers(ROOT, [OLD, NEW])}
      ${fold(shell, 2, 1)}
      describe ${chain([2, 1])} >before
      # Of a folder's time nothing else is to be had after a cut.
      grep -v ' d ' before >expected; grep ' d ' before | sed 's/ [0-9]*$//' >>expected
      cp -a layers saved
      limit=0
      failed=9
      while [ "$failed" = 9 ]; do
        rm -rf layers run; mkdir run; cp -a saved layers
        limit=$((limit + 1)); failed=
        fold_layers $limit
        describe ${chain([2, 1])} >after
        { grep -v ' d ' after; grep ' d ' after | sed 's/ [0-9]*$//'; } | diff expected -
        cut=$failed failed=
        fold_layers 0
        [ ! "$failed" ]; [ ! "$(ls -A layers/1)" ]
        describe ${chain([2])} >after
        { grep -v ' d ' after; grep ' d ' after | sed 's/ [0-9]*$//'; } | diff expected -
        failed=$cut
      done
      diff before after
      echo $limit`;
    assert.ok(Number(inside(temporaryFolder(t), script)) > 40);
  });
}

/** Folders with attributes that are made anew in one layer, so that they hide the root's, and changed in the next. */
const ATTRIBUTES = ["gains", "loses", "changes"]
  .map((folder) => `rm -rf ${folder}; mkdir ${folder}; echo old >${folder}/old`)
  .join("; ");
const OLD_ATTRIBUTES = `${ATTRIBUTES}; setfacl -m u:5:rwx loses; setfattr -n user.x -v 1 changes; setfattr -n user.gone -v 1 changes; setfacl -m u:5:r changes`;
const NEW_ATTRIBUTES = `for f in gains loses changes; do echo new >$f/new; done
  setfacl -m u:6:rx,d:u:7:x gains; setfattr -n user.y -v 0x00ff gains; setfacl -b loses; chmod 2750 loses; chown 8:9 loses
  setfattr -n user.x -v 2 changes; setfattr -x user.gone changes; setfacl -m u:5:x changes`;

for (const [how, shell, without, kept] of [
  ["by dash, getfattr and setfattr", "dash", "", ""],
  ["by busybox, getfattr and setfattr", "busybox sh", "", ""],
  // It cannot tell which are to go.
  ["by dash and the cp of coreutils", "dash", "rm bin/getfattr bin/setfattr; PATH=$PWD/bin", "user.gone=0x31"],
] as const) {
  test(`a folder's attributes and ACLs are those of the layer above, ${how}`, (t) => {
    if (lacks(t, ...TOOLS, "mke2fs", "getfattr", "setfattr", "setfacl") || lacksRoot(t)) return;
    const folder = temporaryFolder(t);
    run("mke2fs", ["-q", "-t", "ext4", `${folder}.ext4`, "8M"]);
    t.after(() => fs.rmSync(`${folder}.ext4`));
    const script = `mkdir disk; mount -o loop ${folder}.ext4 disk; cd disk; mkdir view work run root bin
      find /bin/ /usr/bin/ /sbin/ /usr/sbin/ -mindepth 1 -maxdepth 1 -exec ln -sf -t bin {} +
      see() {
        mount -t overlay -o "ro,lowerdir=$1" overlay view
        (cd view; getfattr -R -d -m - -e hex . | LC_ALL=C sort; find . -printf '%p %m %U:%G\\n' | LC_ALL=C sort) >$2
        umount view
      }
      ${makeLayers("mkdir gains loses changes; touch gains/hidden loses/hidden changes/hidden", [OLD_ATTRIBUTES, NEW_ATTRIBUTES])}
      ${fold(shell, 2, 1)}
      see ${chain([2, 1])} before
      (${without || ":"}; fold_layers 0; [ ! "$failed" ])
      see ${chain([2])} after
      getfattr -m opaque layers/2/changes | grep overlay
      diff before after | grep '^[<>]' || :
      cd ..; umount disk`;
    const shown = inside(folder, script);
    assert.equal(shown, `trusted.overlay.opaque\n${kept && `> ${kept}\n`}`);
  });
}
