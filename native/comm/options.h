// How ranks come to communicate.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "comm/comm.h"
#include "comm/key_value.h"
#include "relic/status.h"

namespace relic::comm {

enum class Backend { mpi, gloo };
// Which MPI the launcher belongs to, by its environment.
enum class Launcher { unknown, openMpi, mpich };

struct CommOptions {
  Backend backend = Backend::mpi;
  // As the launcher says.
  int rank = 0, size = 1;
  Launcher launcher = Launcher::unknown;
  // A library of MPI, or empty for those that the system's loader finds.
  std::string mpiLibrary;
  // For Gloo: the path of librelic_gloo.so, the address of this rank that the others reach, how long a call may take, and
  // where ranks leave their addresses.
  std::string glooLibrary;
  std::string address;
  int64_t timeoutMs = 0;
  std::shared_ptr<KeyValue> store;
};

// Both are collective, and all calls on the communicator must come from the calling thread, but for cancel and setUrgent.
// RELIC_RANKS when the library is not there, or says another rank or size than the launcher.
Status openMpi(const CommOptions& options, std::unique_ptr<Comm>* out);
Status openGloo(const CommOptions& options, std::unique_ptr<Comm>* out);

}  // namespace relic::comm
