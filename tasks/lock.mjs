// Lets one process at a time do something, and the others wait for it.
import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { constants } from "node:os";
import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";

const limitSeconds = 600;

/** Calls `work` while no other process of this machine does so with the same file, which holds the process's number. */
export async function withLock(file, work) {
  const own = `${file}-${process.pid}`;
  writeFileSync(own, `${process.pid}`);
  const until = Date.now() + limitSeconds * 1000;
  try {
    // A link is there with its content, or not at all.
    while (!tryLink(own, file)) {
      const holder = holderOf(file);
      if (holder !== undefined && !isAlive(holder)) takeAway(file, holder, own);
      else if (Date.now() > until) {
        throw new Error(
          `Cannot go on: process ${holder} has held ${file} for ${limitSeconds} s. Remove the file if it is wrong`,
        );
      } else await delay(100);
    }
  } finally {
    rmSync(own, { force: true });
  }
  const interrupt = (signal) => {
    rmSync(file, { force: true });
    process.exit(128 + constants.signals[signal]);
  };
  for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, interrupt);
  try {
    return await work();
  } finally {
    for (const signal of ["SIGINT", "SIGTERM"]) process.off(signal, interrupt);
    rmSync(file, { force: true });
  }
}

function tryLink(own, file) {
  try {
    linkSync(own, file);
    return true;
  } catch (error) {
    if (error.code === "EEXIST") return false;
    throw error;
  }
}

function holderOf(file) {
  try {
    return Number(readFileSync(file, "utf8"));
  } catch {
    // It has just ended.
  }
}

function isAlive(number) {
  try {
    process.kill(number, 0);
    return true;
  } catch (error) {
    return error.code === "EPERM";
  }
}

/** Removes what a process that died has left. Whoever takes a living one's by mistake, in its first moment, gives it back. */
function takeAway(file, holder, own) {
  const taken = `${own}-taken`;
  try {
    renameSync(file, taken);
  } catch {
    return;
  }
  if (holderOf(taken) !== holder) tryLink(taken, file);
  rmSync(taken, { force: true });
}
