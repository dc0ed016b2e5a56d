// MPI as three families of libraries have it, opened at run time: nothing of MPI is needed to build. Handles are pointers in
// Open MPI and in the standard ABI of MPI 5, whole numbers in MPICH and its kin (Intel MPI, MVAPICH, Cray MPICH).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "comm/options.h"
#include "relic/status.h"

namespace relic::comm {

enum class MpiFamily { openMpi, mpich, standard };

// A library that was looked at, not used yet.
struct MpiLibrary {
  void* handle;
  MpiFamily family;
  // By its text: the standard ABI exists of both.
  bool isOpenMpi;
  // Name, version and path.
  std::string description;
};

// Libraries to try, in order: those of the launcher's MPI where there are any, else all. `path` is the only one to look at
// when it is not empty. RELIC_RANKS when there is none.
Status findMpi(const std::string& path, Launcher launcher, std::vector<MpiLibrary>* out);

// The calls and constants that are used here.
template <typename Handle>
struct Mpi {
  using Request = Handle;
  int (*Init_thread)(int*, char***, int, int*);
  int (*Finalize)();
  int (*Comm_rank)(Handle, int*);
  int (*Comm_size)(Handle, int*);
  int (*Comm_set_errhandler)(Handle, Handle);
  int (*Error_string)(int, char*, int*);
  int (*Iallreduce)(const void*, void*, int, Handle, Handle, Handle, Request*);
  int (*Ibcast)(void*, int, Handle, int, Handle, Request*);
  int (*Iallgather)(const void*, int, Handle, void*, int, Handle, Handle, Request*);
  int (*Test)(Request*, int*, void*);

  Handle world, float32, byte, sum, errorsReturn;
  void *inPlace, *statusIgnore;
};

Status resolveMpi(const MpiLibrary& library, Mpi<void*>* out);
Status resolveMpi(const MpiLibrary& library, Mpi<int>* out);

}  // namespace relic::comm
