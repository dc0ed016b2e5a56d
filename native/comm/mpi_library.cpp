#include "comm/mpi_library.h"

#include <dlfcn.h>

#include <algorithm>
#include <type_traits>

namespace relic::comm {
namespace {

// In the order in which they are tried. libmpi.so.12 is what all libraries of MPICH's ABI initiative are called but for
// Debian's; libmpi.so.40 is Open MPI.
constexpr const char* kNames[] = {"libmpi_abi.so.0", "libmpi_abi.so.1", "libmpi_abi.so",
                                  "libmpi.so.12",    "libmpich.so.12",  "libmpi.so.40"};
constexpr size_t kVersionRoom = 8192;

Status unusable(const std::string& what) { return Status::failure("RELIC_RANKS", what); }

// The first line of what a library says of itself, without what follows the version.
std::string firstOf(const std::string& text) {
  std::string line = text.substr(0, text.find_first_of("\n,"));
  std::replace(line.begin(), line.end(), '\t', ' ');
  return line;
}

// Looks at a library without making its symbols known to others, so that one that is not used does no harm.
Status look(const std::string& name, MpiLibrary* out) {
  void* handle = dlopen(name.c_str(), RTLD_LAZY | RTLD_LOCAL);
  if (handle == nullptr) {
    const char* why = dlerror();
    return unusable(why == nullptr ? name + ": it cannot be opened" : why);
  }
  const auto version = reinterpret_cast<int (*)(char*, int*)>(dlsym(handle, "MPI_Get_library_version"));
  std::string text(kVersionRoom, '\0');
  int length = 0;
  if (version == nullptr || version(text.data(), &length) != 0) {
    dlclose(handle);
    return unusable(name + ": it is no MPI of version 3 or later");
  }
  text.resize(static_cast<size_t>(std::clamp(length, 0, static_cast<int>(kVersionRoom) - 1)));
  Dl_info info{};
  const bool known = dladdr(reinterpret_cast<void*>(version), &info) != 0 && info.dli_fname != nullptr;
  out->handle = handle;
  out->isOpenMpi = text.find("Open MPI") != std::string::npos;
  out->description = firstOf(text) + " (" + (known ? info.dli_fname : name.c_str()) + ")";
  // Asked first: a library of the standard ABI may stand on one of another.
  if (name.find("libmpi_abi") != std::string::npos) {
    out->family = MpiFamily::standard;
  } else {
    out->family = dlsym(handle, "ompi_mpi_comm_world") != nullptr ? MpiFamily::openMpi : MpiFamily::mpich;
  }
  return Status::success();
}

template <typename Handle>
Status resolveCalls(const MpiLibrary& library, Mpi<Handle>* out) {
  const char* missing = nullptr;
  const auto resolve = [&](auto& call, const char* name) {
    call = reinterpret_cast<std::remove_reference_t<decltype(call)>>(dlsym(library.handle, name));
    if (call == nullptr) missing = name;
  };
  resolve(out->Init_thread, "MPI_Init_thread");
  resolve(out->Finalize, "MPI_Finalize");
  resolve(out->Comm_rank, "MPI_Comm_rank");
  resolve(out->Comm_size, "MPI_Comm_size");
  resolve(out->Comm_set_errhandler, "MPI_Comm_set_errhandler");
  resolve(out->Error_string, "MPI_Error_string");
  resolve(out->Iallreduce, "MPI_Iallreduce");
  resolve(out->Ibcast, "MPI_Ibcast");
  resolve(out->Iallgather, "MPI_Iallgather");
  resolve(out->Test, "MPI_Test");
  if (missing == nullptr) return Status::success();
  return unusable(library.description + ": it has no function " + missing);
}

void* pointer(uintptr_t value) { return reinterpret_cast<void*>(value); }

}  // namespace

Status findMpi(const std::string& path, Launcher launcher, std::vector<MpiLibrary>* out) {
  out->clear();
  MpiLibrary library{};
  if (!path.empty()) {
    if (Status status = look(path, &library); !status.ok()) return status;
    out->push_back(library);
    return Status::success();
  }
  std::vector<MpiLibrary> fitting;
  for (const char* name : kNames) {
    if (!look(name, &library).ok()) continue;
    // One file may have several of the names.
    const auto same = [&](const MpiLibrary& other) { return other.description == library.description; };
    if (std::any_of(out->begin(), out->end(), same)) continue;
    out->push_back(library);
    if (launcher == Launcher::unknown || library.isOpenMpi == (launcher == Launcher::openMpi)) fitting.push_back(library);
  }
  if (!fitting.empty()) *out = fitting;
  if (!out->empty()) return Status::success();
  std::string names;
  for (const char* name : kNames) names += (names.empty() ? "" : ", ") + std::string(name);
  return unusable("there is no MPI library: expected one of " + names +
                  " where the system's loader looks\n  fix: install the MPI of the launcher, or set LD_LIBRARY_PATH to its "
                  "lib folder");
}

Status resolveMpi(const MpiLibrary& library, Mpi<void*>* out) {
  if (Status status = resolveCalls(library, out); !status.ok()) return status;
  out->inPlace = pointer(1);
  out->statusIgnore = nullptr;
  if (library.family == MpiFamily::standard) {
    // The constants of the ABI in MPI 5.0, appendix A.
    out->sum = pointer(0x21);
    out->world = pointer(0x101);
    out->errorsReturn = pointer(0x142);
    out->float32 = pointer(0x210);
    out->byte = pointer(0x247);
    return Status::success();
  }
  out->world = dlsym(library.handle, "ompi_mpi_comm_world");
  out->float32 = dlsym(library.handle, "ompi_mpi_float");
  out->byte = dlsym(library.handle, "ompi_mpi_byte");
  out->sum = dlsym(library.handle, "ompi_mpi_op_sum");
  out->errorsReturn = dlsym(library.handle, "ompi_mpi_errors_return");
  for (const void* handle : {out->world, out->float32, out->byte, out->sum, out->errorsReturn}) {
    if (handle == nullptr) return unusable(library.description + ": its handles are not those of Open MPI");
  }
  return Status::success();
}

Status resolveMpi(const MpiLibrary& library, Mpi<int>* out) {
  if (Status status = resolveCalls(library, out); !status.ok()) return status;
  // The same in all of MPICH's ABI initiative.
  out->world = 0x44000000;
  out->float32 = 0x4c00040a;
  out->byte = 0x4c00010d;
  out->sum = 0x58000003;
  out->errorsReturn = 0x54000001;
  out->inPlace = pointer(~uintptr_t{0});
  out->statusIgnore = pointer(1);
  return Status::success();
}

}  // namespace relic::comm
