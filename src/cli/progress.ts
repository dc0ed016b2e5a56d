/** The one line of progress on a terminal: rewritten in place, and gone before anything else is written. */
import type { Progress } from '../stages/stage.ts';

/** What is used of a terminal; `process.stderr` is one. */
export interface Terminal {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

/** Least time between two drawings, in milliseconds. */
const INTERVAL = 100;
const CLEAR = '\r\u001b[K';

export class ProgressLine {
  private readonly terminal: Terminal;
  private readonly now: () => number;
  private drawnAt = Number.NEGATIVE_INFINITY;
  private visible = false;

  /** @param now milliseconds, for a test. */
  constructor(terminal: Terminal, now: () => number = Date.now) {
    this.terminal = terminal;
    this.now = now;
  }

  /** Draws the state, at most ten times a second but for the last step. */
  update(state: Progress): void {
    const now = this.now();
    const last = state.epoch === state.epochs && state.step === state.steps;
    if (now - this.drawnAt < INTERVAL && !last) return;
    this.drawnAt = now;
    this.visible = true;
    // One column is left free: some terminals wrap when the last one is filled.
    this.terminal.write(CLEAR + progressText(state).slice(0, Math.max(1, (this.terminal.columns ?? 80) - 1)));
  }

  /** Takes the line off the screen; to be called before anything else is written, and at the end. */
  clear(): void {
    if (!this.visible) return;
    this.visible = false;
    this.drawnAt = Number.NEGATIVE_INFINITY;
    this.terminal.write(CLEAR);
  }
}

/** Whether a progress line belongs on this terminal: never in pipes, files or continuous integration, and of rank 0 alone. */
export function wantsProgress(terminal: Terminal, ci: boolean, rank: number): boolean {
  return terminal.isTTY === true && !ci && rank === 0;
}

export function progressText(state: Progress): string {
  return [
    `${state.stage} epoch ${state.epoch}/${state.epochs}`,
    `step ${state.step}/${state.steps}`,
    `loss ${state.loss.toFixed(4)}`,
    `${state.pairsPerSecond.toFixed(state.pairsPerSecond < 10 ? 1 : 0)} pairs/s`,
    ...(state.collectiveShare === undefined ? [] : [`ranks ${(100 * state.collectiveShare).toFixed(0)} %`]),
    `ETA ${duration(state.etaSeconds)}`,
  ].join(' | ');
}

/** `h:mm:ss`, or `m:ss` below an hour. */
export function duration(seconds: number): string {
  if (!Number.isFinite(seconds)) return '-:--';
  const whole = Math.max(0, Math.round(seconds));
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (value: number) => String(value).padStart(2, '0');
  return hours > 0 ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}
