/** Learning rate and momentum by optimizer step. */

export interface ScheduleValue {
  readonly lr: number;
  /** beta1 of AdamW, the momentum of SGD. */
  readonly momentum: number;
}

export interface Schedule {
  /** What optimizer step `step`, counted from 0, uses. Steps past the end are not refused. */
  at(step: number): ScheduleValue;
}

export function constantSchedule(lr: number, momentum: number): Schedule {
  return { at: () => ({ lr, momentum }) };
}

export interface OneCycleOptions {
  readonly maxLr: number;
  readonly totalSteps: number;
  /** Share of the steps in which the rate rises, in (0, 1). */
  readonly pctStart: number;
  /** The rate starts at `maxLr / divFactor`. */
  readonly divFactor: number;
  /** The rate ends at its start divided by this. */
  readonly finalDivFactor: number;
  readonly anneal: 'cos' | 'linear';
}

const BASE_MOMENTUM = 0.85;
const MAX_MOMENTUM = 0.95;

type Anneal = (from: number, to: number, fraction: number) => number;

const ANNEALS: Readonly<Record<OneCycleOptions['anneal'], Anneal>> = {
  cos: (from, to, fraction) => to + ((from - to) / 2) * (Math.cos(Math.PI * fraction) + 1),
  linear: (from, to, fraction) => (to - from) * fraction + from,
};

/**
 * `torch.optim.lr_scheduler.OneCycleLR` with two phases and cycled momentum (Smith & Topin 2017), operation by operation.
 * The phases are extrapolated past their end, as torch does: the rate after the last step overshoots (contract 1.8).
 */
export function oneCycle(options: OneCycleOptions): Schedule {
  const anneal = ANNEALS[options.anneal];
  const startLr = options.maxLr / options.divFactor;
  const endLr = startLr / options.finalDivFactor;
  const peakStep = options.pctStart * options.totalSteps - 1;
  const lastStep = options.totalSteps - 1;
  return {
    at(step) {
      if (step <= peakStep) {
        // A rise of no length is at its peak at once, where torch divides by zero.
        const fraction = peakStep === 0 ? 1 : step / peakStep;
        return {
          lr: anneal(startLr, options.maxLr, fraction),
          momentum: anneal(MAX_MOMENTUM, BASE_MOMENTUM, fraction),
        };
      }
      const fraction = (step - peakStep) / (lastStep - peakStep);
      return { lr: anneal(options.maxLr, endLr, fraction), momentum: anneal(BASE_MOMENTUM, MAX_MOMENTUM, fraction) };
    },
  };
}
