// How a watchdog ends its process while other threads may be blocked anywhere.
#pragma once

#include <string>

#include "comm/frames.h"

namespace relic::comm {

// What is called before the end, for 2 s at the most, on a thread of its own: a communication library's abort. Null:
// nothing.
void setAbortHook(void (*hook)());

// Writes the verdict to `directory`/rank.<rank>.fail.json (unless `directory` is empty), then one line to standard
// error, calls the abort hook, and ends the process with `code`, within 4 s whatever happens. No handler of the process
// runs.
void endProcess(const Verdict& verdict, int rank, const std::string& directory, int code);

// The file's text, and the line.
std::string verdictJson(const Verdict& verdict, int rank, int code);
std::string verdictLine(const Verdict& verdict, int rank, int code);

}  // namespace relic::comm
