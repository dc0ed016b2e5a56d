// What ranks tell each other before they can communicate: small values under names, set once by one rank and waited for
// by others.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "relic/status.h"

namespace relic::comm {

// Calls may come from any thread.
class KeyValue {
 public:
  virtual ~KeyValue() = default;
  virtual Status set(const std::string& key, const std::vector<uint8_t>& bytes) = 0;
  // Waits until the key is set; RELIC_RANKS after timeoutMs, naming the key.
  virtual Status get(const std::string& key, int64_t timeoutMs, std::vector<uint8_t>* bytes) = 0;
};

}  // namespace relic::comm
