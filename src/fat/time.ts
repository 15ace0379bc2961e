/** FAT's timestamps: date and time as of a wall clock, which here is always UTC. "Date and Time Formats" (fatgen103). */

/** A moment as FAT stores it. `tenths` counts 10 ms from the even second that `time` gives: 0 to 199. */
export interface FatTime {
  readonly date: number;
  readonly time: number;
  readonly tenths: number;
}

const FIRST = Date.UTC(1980, 0, 1) / 1000;
const LAST = Date.UTC(2107, 11, 31, 23, 59, 59) / 1000;

/** `seconds` since 1970 in UTC; what lies outside of 1980 to 2107 becomes the nearest moment inside. */
export function encodeTime(seconds: number): FatTime {
  const moment = new Date(Math.min(Math.max(Math.floor(seconds), FIRST), LAST) * 1000);
  return {
    date: ((moment.getUTCFullYear() - 1980) << 9) | ((moment.getUTCMonth() + 1) << 5) | moment.getUTCDate(),
    time: (moment.getUTCHours() << 11) | (moment.getUTCMinutes() << 5) | (moment.getUTCSeconds() >> 1),
    tenths: (moment.getUTCSeconds() & 1) * 100,
  };
}

/**
 * Seconds since 1970. The date 0 of "never" and every other month or day 0 count as the first; what is beyond the month's or
 * the day's end counts on as far as it goes.
 */
export function decodeTime(date: number, time: number): number {
  const month = Math.max((date >> 5) & 15, 1);
  const day = Math.max(date & 31, 1);
  return Date.UTC(1980 + (date >> 9), month - 1, day, time >> 11, (time >> 5) & 63, (time & 31) * 2) / 1000;
}
