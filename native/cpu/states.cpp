#include "states.h"

#include <algorithm>

namespace relic {

States::States(const Program& program) : specs_(program.states), offsets_(program.states.size()) {
  size_t at = 0;
  for (const bool parameters : {true, false}) {
    for (size_t i = 0; i < specs_.size(); i++) {
      if (specs_[i].parameter != parameters) continue;
      offsets_[i] = at;
      at += wholeLines(static_cast<size_t>(specs_[i].elements));
    }
    if (parameters) parameterFloats_ = at;
  }
  memory_ = Arena(at);
  for (size_t i = 0; i < specs_.size(); i++) {
    if (!specs_[i].parameter) std::fill_n(memory_.data() + offsets_[i], specs_[i].elements, specs_[i].initial);
  }
}

}  // namespace relic
