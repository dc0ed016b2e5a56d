// Steps in the form of the GPU library's C interface.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "cpu/model.h"
#include "cuda/relic_cuda.h"

namespace relic {

inline RelicCudaBatch cudaBatch(const BatchView& v) { return {v.pairs, v.proteinA, v.proteinB, v.labels}; }

// What relic_cuda_train_steps takes and gives; the arrays of `steps` must live as long.
struct CudaSteps {
  // ranks: as Model::rankCount has them.
  CudaSteps(const StepView* steps, int64_t count, int64_t ranks = 1) : shards(static_cast<size_t>(count)) {
    size_t total = 0;
    for (int64_t i = 0; i < count; i++) {
      std::vector<RelicCudaShard>& own = shards[static_cast<size_t>(i)];
      for (int64_t k = 0; k < steps[i].shardCount; k++) {
        const ShardView& shard = steps[i].shards[k];
        own.push_back({cudaBatch(shard.batch), {shard.key[0], shard.key[1]}});
      }
      const StepSettings& s = steps[i].settings;
      views.push_back({own.data(), steps[i].shardCount,
                       {s.step, s.lr, s.momentum, s.hardExamples ? 1 : 0, s.keepRatio, s.minKeep, s.stop ? 1 : 0}});
      total += std::max(own.size(), static_cast<size_t>(ranks));
    }
    losses.resize(total);
  }

  void copyLosses(ShardLoss* out) const {
    for (size_t i = 0; i < losses.size(); i++) out[i] = {losses[i].loss_sum, losses[i].kept, losses[i].stop != 0};
  }

  std::vector<std::vector<RelicCudaShard>> shards;
  std::vector<RelicCudaStepShards> views;
  // Of every shard of every step, or of every rank.
  std::vector<RelicCudaShardLoss> losses;
};

}  // namespace relic
