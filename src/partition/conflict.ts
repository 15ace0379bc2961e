/** The error for what a table cannot hold. */
import { ImgbuildError } from "../errors.js";

export function conflict(message: string, hint: string, data: Record<string, unknown>): ImgbuildError {
  return new ImgbuildError("layout-conflict", message, { hint, data });
}
