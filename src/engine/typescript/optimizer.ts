/** AdamW and SGD as PyTorch's `torch.optim` computes them, parameter by parameter. */
import type { OptimizerSettings, ParameterMoments } from '../engine.ts';
import type { Reals } from './matmul.ts';

interface Moments {
  readonly first: Reals;
  readonly second: Reals;
  steps: number;
}

export class Optimizer {
  readonly settings: OptimizerSettings;
  private readonly moments = new Map<string, Moments>();
  private readonly allocate: (length: number) => Reals;

  constructor(settings: OptimizerSettings, allocate: (length: number) => Reals) {
    this.settings = settings;
    this.allocate = allocate;
  }

  /** Takes over the moments of `previous` for the parameters that `names` holds. */
  adopt(previous: Optimizer, names: Iterable<string>): void {
    for (const name of names) {
      const moments = previous.moments.get(name);
      if (moments !== undefined) this.moments.set(name, moments);
    }
  }

  /** A copy of the moments of a parameter of this length: zeros before its first step. */
  momentsOf(name: string, length: number): ParameterMoments {
    const { first, second, steps } = this.moments.get(name) ?? this.zeros(length);
    return { steps, first: Float32Array.from(first), second: Float32Array.from(second) };
  }

  restore(name: string, { first, second, steps }: ParameterMoments): void {
    const moments = this.zeros(first.length);
    moments.first.set(first);
    moments.second.set(second);
    moments.steps = steps;
    this.moments.set(name, moments);
  }

  private zeros(length: number): Moments {
    const second = this.settings.type === 'adamw' ? length : 0;
    return { first: this.allocate(length), second: this.allocate(second), steps: 0 };
  }

  /** Updates one parameter in place. `momentum` is beta1 for AdamW. */
  update(name: string, parameter: Reals, gradient: Reals, lr: number, momentum: number): void {
    let moments = this.moments.get(name);
    if (moments === undefined) {
      moments = this.zeros(parameter.length);
      this.moments.set(name, moments);
    }
    moments.steps++;
    if (this.settings.type === 'adamw') this.adamw(parameter, gradient, moments, lr, momentum);
    else this.sgd(parameter, gradient, moments, lr, momentum);
  }

  /** Loshchilov & Hutter 2019, in PyTorch's order: decay, moments, bias corrections, step. */
  private adamw(p: Reals, g: Reals, { first, second, steps }: Moments, lr: number, beta1: number): void {
    const { beta2, eps, weightDecay } = this.settings;
    const decay = 1 - lr * weightDecay;
    const stepSize = lr / (1 - beta1 ** steps);
    const correction = 1 / Math.sqrt(1 - beta2 ** steps);
    for (let i = 0; i < p.length; i++) {
      const m = (first[i] += (1 - beta1) * (g[i] - first[i]));
      const v = (second[i] = beta2 * second[i] + (1 - beta2) * g[i] * g[i]);
      p[i] = p[i] * decay - (stepSize * m) / (Math.sqrt(v) * correction + eps);
    }
  }

  /** Weight decay joins the gradient; the momentum buffer starts as the first gradient. */
  private sgd(p: Reals, g: Reals, { first, steps }: Moments, lr: number, momentum: number): void {
    const { weightDecay } = this.settings;
    for (let i = 0; i < p.length; i++) {
      const d = g[i] + weightDecay * p[i];
      first[i] = steps === 1 ? d : momentum * first[i] + d;
      p[i] -= lr * (momentum === 0 ? d : first[i]);
    }
  }

  memory(): number {
    let bytes = 0;
    for (const { first, second } of this.moments.values()) bytes += first.byteLength + second.byteLength;
    return bytes;
  }
}
