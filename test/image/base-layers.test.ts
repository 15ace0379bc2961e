import assert from "node:assert/strict";
import { test } from "node:test";
import { baseLayers } from "../../src/image/base-layers.js";
import { loadPlan } from "../../src/profile/load.js";

const APPS = ["filesystem=squashfs", "size=16MiB", "source=/apps", "offset=600MiB"].map(
  (value) => `partitions.apps.${value}`,
);
const planWith = (from: string) =>
  loadPlan("qemu-arm64", {
    folder: "/",
    set: [...APPS, "partitions.userdata.size=64MiB", `overlay.layers=[{path: /opt/app, from: "${from}"}]`],
  });

test("a layer's partition is one of the profile's, by its number", () => {
  const plan = planWith("partition:apps");
  const { number } = plan.partitions.find(({ name }) => name === "apps")!;
  assert.deepEqual(baseLayers(plan), [{ path: "/opt/app", from: { kind: "partition", number } }]);
});

test("others are refused when the profile is loaded", () => {
  assert.throws(() => planWith("partition:none"), /overlay.layers: there is no partition none/);
  assert.throws(() => planWith("partition:userdata"), /partition userdata cannot be a layer: it is userdata, ext4/);
  assert.throws(() => planWith("somewhere"), /a layer cannot come from "somewhere"/);
});
