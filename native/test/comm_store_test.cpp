// Rank 0's store, its clients and their watchdogs, with threads as ranks. Meant for the thread sanitiser as well.
#include "comm/store_server.h"

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <new>
#include <optional>
#include <thread>

#include "check.h"
#include "comm/process_end.h"
#include "comm/progress.h"
#include "comm/store_client.h"
#include "comm/watchdog.h"

namespace relic {
namespace {

using namespace comm;

constexpr char kHost[] = "127.0.0.1";

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

Bytes bytesOf(const std::string& text) { return {text.begin(), text.end()}; }

struct End {
  int code = 0;
  Verdict verdict;
};

// One rank of a run of threads.
struct Rank {
  Hello hello;
  StoreClient client;
  Progress progress;
  std::unique_ptr<Watchdog> watchdog;
  Status joined;
  std::mutex mutex;
  std::condition_variable changed;
  std::optional<End> end;

  // Its thread uses the members after it.
  ~Rank() { watchdog.reset(); }

  Status join(int port) {
    joined = client.join({kHost, port, hello});
    if (!joined.ok()) return joined;
    const auto& zero = client.rankZero();
    const auto ended = [this](const Verdict& verdict, int code) {
      std::lock_guard<std::mutex> lock(mutex);
      end = End{code, verdict};
      changed.notify_all();
    };
    WatchdogOptions options{hello.rank, hello.host, hello.pid, zero.host, zero.pid, zero.heartbeatTimeoutMs, false,
                            &progress,  ended};
    return Watchdog::start(std::move(options), client.takeWatch(), &watchdog);
  }

  // How the watchdog has ended this rank; code 0 when it has not after a long time.
  End waitForEnd() {
    std::unique_lock<std::mutex> lock(mutex);
    changed.wait_for(lock, std::chrono::seconds(30), [this] { return end.has_value(); });
    return end.value_or(End{});
  }
  bool hasEnded() {
    std::lock_guard<std::mutex> lock(mutex);
    return end.has_value();
  }
  // As a killed process: connections close, and nothing is said.
  void die() {
    watchdog.reset();
    client.~StoreClient();
    new (&client) StoreClient();
  }
};

// Ranks that have said nothing yet; rank 0's store is there.
struct Run {
  std::unique_ptr<StoreServer> server;
  std::vector<std::unique_ptr<Rank>> ranks;

  explicit Run(int size) {
    bool busy = false;
    StoreServer::host(kHost, 0, &server, &busy);
    for (int i = 0; i < size; i++) add(i, size);
    ranks[0]->hello.token = server->token();
  }
  Rank& add(int number, int size) {
    auto& rank = *ranks.emplace_back(std::make_unique<Rank>());
    rank.hello.runId = "run-1";
    rank.hello.identity = "config abc, engine native";
    rank.hello.version = "1.2.3";
    rank.hello.abi = abi();
    rank.hello.host = "host" + std::to_string(number);
    rank.hello.rank = number;
    rank.hello.size = size;
    rank.hello.pid = 1000 + number;
    rank.hello.timeoutMs = 30000;
    rank.hello.heartbeatTimeoutMs = 5000;
    rank.hello.collectiveTimeoutMs = 60000;
    return rank;
  }
  Rank& operator[](int number) { return *ranks[static_cast<size_t>(number)]; }
  int size() const { return static_cast<int>(ranks.size()); }

  // Does `work` for each rank in a thread of its own.
  void each(const std::function<void(Rank&, int)>& work) {
    std::vector<std::thread> threads;
    for (int i = 0; i < size(); i++) threads.emplace_back([&, i] { work((*this)[i], i); });
    for (auto& thread : threads) thread.join();
  }
  bool joinAll() {
    each([this](Rank& rank, int) { rank.joined = rank.join(server->port()); });
    bool good = true;
    for (const auto& rank : ranks) {
      if (!rank->joined.ok()) std::printf("join: %s\n", rank->joined.message.c_str());
      good = good && rank->joined.ok();
    }
    return good;
  }
};

void testCollectives(Checker& checker) {
  Run run(3);
  checker.isTrue("three ranks join", run.joinAll());
  std::vector<int> good(3);
  run.each([&](Rank& rank, int number) {
    for (int round = 0; round < 50; round++) {
      // Lengths differ, and some are 0.
      const Bytes own(static_cast<size_t>(number * round), static_cast<uint8_t>(round));
      std::vector<Bytes> all;
      bool same = rank.client.allGather("gather", own, &all).ok() && all.size() == 3;
      for (int i = 0; i < 3 && same; i++) {
        same = all[static_cast<size_t>(i)] == Bytes(static_cast<size_t>(i * round), static_cast<uint8_t>(round));
      }
      Bytes value = number == 0 ? bytesOf("from rank 0") : bytesOf("not this");
      same = same && rank.client.broadcast("send", &value).ok() && value == bytesOf("from rank 0");
      same = same && rank.client.barrier("end", 10000).ok();
      int64_t sum = 0;
      same = same && rank.client.add("counter", number == 2 ? -1 : 1, &sum).ok();
      if (same) good[static_cast<size_t>(number)]++;
    }
  });
  checker.isTrue("collectives of all ranks", good == std::vector<int>(3, 50));
  int64_t sum = 0;
  checker.isTrue("a counter", run[1].client.add("counter", -8, &sum).ok() && sum == 42);
  run.each([&](Rank& rank, int number) {
    Bytes value;
    if (number == 1) rank.joined = rank.client.set("key", bytesOf("value"));
    if (number != 1) rank.joined = rank.client.get("key", 20000, &value);
    good[static_cast<size_t>(number)] = rank.joined.ok() && (number == 1 || value == bytesOf("value"));
  });
  checker.isTrue("a key is waited for", good == std::vector<int>(3, 1));
  Bytes value;
  const auto absent = run[2].client.get("nothing", 50, &value);
  checker.isTrue("a key that nobody sets", contains(absent.message, "no rank has set 'nothing' within 0.1 s"));
  run.each([](Rank& rank, int) { rank.joined = rank.client.leave(); });
  for (const auto& rank : run.ranks) {
    checker.isTrue("a goodbye ends nobody", rank->joined.ok() && !rank->hasEnded());
    rank->watchdog.reset();
  }
}

void testLarge(Checker& checker) {
  Run run(2);
  checker.isTrue("two ranks join", run.joinAll());
  std::vector<int> good(2);
  const size_t length = 48 << 20;
  run.each([&](Rank& rank, int number) {
    Bytes own(length + static_cast<size_t>(number));
    for (size_t i = 0; i < own.size(); i += 4096) own[i] = static_cast<uint8_t>(i / 4096 + static_cast<size_t>(number));
    std::vector<Bytes> all;
    bool same = rank.client.allGather("large", own, &all).ok();
    same = same && all[static_cast<size_t>(number)] == own && all[0].size() == length && all[1].size() == length + 1;
    same = same && all[1][8192] == 3 && all[0][8192] == 2;
    good[static_cast<size_t>(number)] = same;
  });
  checker.isTrue("large values", good == std::vector<int>(2, 1));
}

void testTable(Checker& checker) {
  int answers = 0;
  StoreTable table(2, [&](int, std::vector<Chunk>) { answers++; });
  const auto gather = [&](int rank, uint64_t position) {
    Writer writer(FrameType::request);
    writer.put8(static_cast<uint8_t>(Op::allGather));
    writer.put64(position);
    writer.put64(0);
    writer.putText("gather");
    writer.putBytes("12345", 5);
    const auto frame = writer.finish();
    return table.request(rank, Bytes(frame.begin() + 8, frame.end()), 0);
  };
  checker.isTrue("half a gather is kept", gather(1, 0) && table.bytes() == 5 && answers == 0);
  checker.isTrue("a finished one is not", gather(0, 0) && table.bytes() == 0 && answers == 2);
  checker.isTrue("a position of the past", gather(0, 0) && table.bytes() == 0 && answers == 3);
  checker.isTrue("who waits is stuck", gather(0, 1) && !table.stuck(99, 100) && table.stuck(100, 100)->rank == 1);
  checker.isTrue("half a request", !table.request(0, {static_cast<uint8_t>(FrameType::request), 5, 0}, 0));
}

void testDivergence(Checker& checker) {
  Run run(3);
  checker.isTrue("ranks join", run.joinAll());
  run.each([](Rank& rank, int number) {
    rank.joined = rank.client.barrier(number == 2 ? "validation" : "epoch", 20000);
  });
  for (const auto& rank : run.ranks) {
    const auto& text = rank->joined.message;
    checker.isTrue("other names are told: " + text, contains(text, "'validation'") && contains(text, "'epoch'") &&
                                                        contains(text, "rank 2 ") && contains(text, "number 1 "));
  }
  run.each([](Rank& rank, int number) {
    if (number != 1) rank.joined = rank.client.barrier("late", 200);
  });
  checker.isTrue("who did not come", contains(run[0].joined.message, "rank 1 of 3 has not come within 0.2 s"));
  checker.isTrue("whoever comes later learns it", contains(run[1].client.barrier("late", 200).message, "rank 1 of 3"));
  checker.isTrue("a goodbye", run[1].client.leave().ok());
  checker.isTrue("nobody waits for who has left",
                 contains(run[2].client.barrier("more", 0).message, "rank 1 has left the run"));
}

void testRefusals(Checker& checker) {
  Run run(2);
  const auto refused = [&](const std::string& name, const std::vector<std::string>& parts, void (*change)(Hello&)) {
    Rank& other = run.add(1, 2);
    change(other.hello);
    const auto status = other.client.join({kHost, run.server->port(), other.hello});
    bool good = status.code == "RELIC_RANKS";
    for (const auto& part : parts) good = good && contains(status.message, part);
    checker.isTrue(name + ": " + status.message, good);
    run.ranks.pop_back();
  };
  std::thread zero([&rank = run[0], port = run.server->port()] { rank.join(port); });
  refused("another run", {"run's id", "'run-2'", "'run-1'", "host1", "1001"},
          [](Hello& hello) { hello.runId = "run-2"; });
  refused("another size", {"number of ranks is 5 there, and 2"}, [](Hello& hello) { hello.size = 5; });
  refused("another version", {"version", "1.2.4", "1.2.3"}, [](Hello& hello) { hello.version = "1.2.4"; });
  refused("another platform", {"platform", "plan9-x64"}, [](Hello& hello) { hello.abi = "plan9-x64"; });
  refused("another set-up", {"config abd", "config abc"}, [](Hello& hello) { hello.identity = "config abd"; });
  refused("rank 0 twice", {"two processes", "host0", "1000", "host9", "77", "stale exported RANK"}, [](Hello& hello) {
    hello.rank = 0;
    hello.host = "host9";
    hello.pid = 77;
  });
  refused("no such rank", {"from 0 to 1"}, [](Hello& hello) { hello.rank = 2; });
  refused("too long a hello", {"65536 bytes"}, [](Hello& hello) { hello.identity.assign(70000, 'x'); });
  checker.isTrue("the right one is taken", run[1].join(run.server->port()).ok());
  zero.join();
  checker.isTrue("and the run starts", run[0].joined.ok());
  refused("rank 1 twice", {"two processes", "stale exported RANK", "process 1001 on host host1", "process 78"},
          [](Hello& hello) { hello.pid = 78; });
  bool busy = false;
  std::unique_ptr<StoreServer> second;
  const auto status = StoreServer::host(kHost, run.server->port(), &second, &busy);
  checker.isTrue("a busy port: " + status.message, busy && contains(status.message, "is in use"));
  checker.isTrue("no such address", !StoreServer::host("192.0.2.1", 0, &second, &busy).ok() && !busy);
  checker.isTrue("nobody was ended by others' mistakes", !run[0].hasEnded() && !run[1].hasEnded());
}

void testMissing(Checker& checker) {
  Run run(4);
  for (const int number : {0, 1}) run[number].hello.timeoutMs = 1500;
  run[3].hello.identity = "other";
  run.each([&](Rank& rank, int number) {
    if (number != 2) rank.joined = rank.client.join({kHost, run.server->port(), rank.hello});
  });
  for (const int number : {0, 1}) {
    const auto& text = run[number].joined.message;
    checker.isTrue("missing ranks are listed: " + text,
                   contains(text, "ranks 2 and 3 of 4 have not come") && contains(text, "rank 3 was refused"));
  }
  const auto late = run[2].client.join({kHost, run.server->port(), run[2].hello});
  checker.isTrue("a late one learns why", contains(late.message, "ranks 2 and 3 of 4"));
  Run alone(2);
  alone[1].hello.timeoutMs = 300;
  const auto without = alone[1].client.join({kHost, alone.server->port(), alone[1].hello});
  checker.isTrue("without rank 0: " + without.message, contains(without.message, "rank 0 has not come within 0.3 s"));
  const int port = alone.server->port();
  alone.server.reset();
  const auto nowhere = alone[1].client.join({kHost, port, alone[1].hello});
  checker.isTrue("without a store: " + nowhere.message, contains(nowhere.message, "did not find rank 0") &&
                                                            contains(nowhere.message, ":" + std::to_string(port)));
}

void testGarbage(Checker& checker) {
  Run run(2);
  const Interrupt never;
  std::vector<Fd> held;
  const auto connect = [&](const std::string& text) {
    Fd fd;
    const int64_t deadlineMs = steadyMs() + 10000;
    if (connectTo(kHost, run.server->port(), deadlineMs, never, &fd).ok()) {
      sendAll(fd, text.data(), text.size(), deadlineMs, never);
    }
    held.push_back(std::move(fd));
  };
  connect("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
  // A frame of a type that comes later, a watch hello of nobody, a hello cut short, and one without the program's name.
  connect(std::string("\x02\0\0\0\0\0\0\0\x0c\x01", 10));
  connect(std::string("\x0d\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\0\0\0\0\0", 21));
  connect(std::string("\x09\0\0\0\0\0\0\0\x01\xff\xff\xff\xff", 13));
  connect(std::string("\x05\0\0\0\0\0\0\0\x01\xff\xff\xff\xff", 13));
  for (int i = 0; i < 200; i++) connect("");
  checker.isTrue("ranks join in spite of it", run.joinAll());
  connect(std::string("\x02\0\0\0\0\0\0\0\x0c\x07", 10));
  run.each([](Rank& rank, int) { rank.joined = rank.client.barrier("after", 20000); });
  checker.isTrue("and work on", run[0].joined.ok() && run[1].joined.ok() && !run[0].hasEnded() && !run[1].hasEnded());
  char byte = 0;
  checker.isTrue("the first is dropped", !receiveAll(held[0], &byte, 1, steadyMs() + 10000, never).ok() &&
                                             tryReceive(held[0], &byte, 1) < 0);
}

bool named(const End& end, int code, int rank, const std::string& reason) {
  const bool good = end.code == code && end.verdict.rank == rank && contains(end.verdict.reason, reason);
  if (!good) std::printf("%s", verdictLine(end.verdict, -1, end.code).c_str());
  return good;
}

void testDeath(Checker& checker, int victim) {
  const std::string name = " of rank " + std::to_string(victim);
  Run run(3);
  checker.isTrue("ranks join", run.joinAll());
  run[victim].progress.step = 17;
  run[victim].progress.what = "allReduce";
  std::this_thread::sleep_for(std::chrono::milliseconds(600));
  run[victim].die();
  if (victim == 0) run.server.reset();
  for (int i = 0; i < 3; i++) {
    if (i == victim) continue;
    const auto end = run[i].waitForEnd();
    checker.isTrue("death" + name + " is told by all", named(end, kPeerFailed, victim, "without a goodbye"));
    checker.isTrue("with its place", end.verdict.host == "host" + std::to_string(victim) &&
                                         end.verdict.pid == 1000 + victim &&
                                         (victim == 0 || (end.verdict.step == 17 && end.verdict.what == "allReduce")));
  }
  checker.isTrue("the dead one says nothing", !run[victim].hasEnded());
}

void testOwnError(Checker& checker, int victim) {
  Run run(3);
  checker.isTrue("ranks join", run.joinAll());
  run[victim].watchdog->fail("RELIC_IO", "the disk is \"full\"\n");
  run[victim].die();
  if (victim == 0) run.server.reset();
  for (int i = 0; i < 3; i++) {
    if (i != victim) {
      checker.isTrue("an error of its own is told",
                     named(run[i].waitForEnd(), kPeerFailed, victim, "RELIC_IO: the disk is \"full\""));
    }
  }
  checker.isTrue("who failed ends as it likes", !run[victim].hasEnded());
}

void testConsequence(Checker& checker) {
  Run run(3);
  checker.isTrue("ranks join", run.joinAll());
  std::thread failing([&] { run[2].watchdog->fail("RELIC_RANKS", "connection closed by peer"); });
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  run[1].die();
  failing.join();
  for (const int i : {0, 2}) {
    checker.isTrue("the cause is named, not who noticed", named(run[i].waitForEnd(), kPeerFailed, 1, "goodbye"));
  }
}

void testStuck(Checker& checker, bool inStore) {
  Run run(3);
  for (const auto& rank : run.ranks) rank->hello.collectiveTimeoutMs = 400;
  checker.isTrue("ranks join", run.joinAll());
  std::vector<std::thread> waiting;
  for (const int i : {0, 2}) {
    if (inStore) {
      waiting.emplace_back([&, i] { run[i].client.barrier("epoch", 0); });
      continue;
    }
    run[i].progress.what = "allReduce";
    run[i].progress.enteredAtMs = steadyMs();
    run[i].progress.entered = 5;
    run[i].progress.waiting = true;
  }
  if (!inStore) run[1].progress.entered = 4;
  const std::string reason = inStore ? "not come to barrier 'epoch'" : "allReduce, collective number 5";
  for (int i = 0; i < 3; i++) {
    checker.isTrue("who keeps others waiting is named", named(run[i].waitForEnd(), i == 1 ? kSelfHung : kPeerFailed, 1,
                                                              reason));
  }
  for (const auto& rank : run.ranks) rank->client.interrupt();
  for (auto& thread : waiting) thread.join();
}

void testWatch(Checker& checker) {
  RankWatch watch(2, {5000, 60000}, 0);
  const auto turns = [&](int64_t from, int64_t to, bool secondToo) {
    for (int64_t now = from; now <= to; now += 100) {
      watch.turn(now);
      watch.heard(0, {}, now);
      if (secondToo) watch.heard(1, {}, now);
    }
  };
  turns(0, 1000, true);
  checker.isTrue("all is well", !watch.find(1000));
  turns(1100, 6000, false);
  checker.isTrue("silence is borne for its limit", !watch.find(6000));
  turns(6100, 6100, false);
  checker.isTrue("and no longer", watch.find(6100)->rank == 1);
  watch.turn(20000);
  checker.isTrue("nobody is blamed for a pause of this process", !watch.find(20000) && watch.ownPause(20000) == 13900);
  RankWatch brief(1, {5000, 60000}, 0);
  brief.turn(4499);
  checker.isTrue("a brief pause is no reason to be given up", brief.ownPause(4499) == 0);
  brief.turn(4499 + 4500);
  checker.isTrue("a longer one is", brief.ownPause(8999) == 4500);
  turns(20100, 25100, false);
  checker.isTrue("but for silence after it", watch.find(25100)->rank == 1 && watch.ownPause(25100) == 0);
  watch.leave(1);
  checker.isTrue("who has left may be silent", !watch.find(25100));
  RankWatch hung(2, {5000, 60000}, 0);
  for (const int rank : {0, 1}) hung.heard(rank, {3, 7, true, 60000, "allReduce"}, 0);
  checker.isTrue("a collective that all have entered", hung.find(0)->rank == -1);
}

void testInterrupt(Checker& checker) {
  Run run(2);
  checker.isTrue("ranks join", run.joinAll());
  std::thread waiting([&] {
    Bytes value;
    run[1].joined = run[1].client.get("nothing", 1000000, &value);
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  run[1].client.interrupt();
  waiting.join();
  checker.isTrue("a waiting call is ended", run[1].joined.code == "RELIC_RANKS");
  checker.isTrue("and all later ones", !run[1].client.barrier("later", 0).ok());
}

void testWords(Checker& checker) {
  const Verdict verdict{2, "n\"1\\", 33, 7, "allReduce", "line\nend\x01"};
  checker.isTrue("JSON", verdictJson(verdict, 1, 71) ==
                             "{\"rank\":2,\"host\":\"n\\\"1\\\\\",\"pid\":33,\"step\":7,\"what\":\"allReduce\","
                             "\"reason\":\"line\\u000aend\\u0001\",\"reported_by\":1,\"exit_code\":71}\n");
  const auto line = verdictLine(verdict, 1, 71);
  checker.isTrue("one line", line.find('\n') == line.size() - 1 && contains(line, "step 7, in allReduce: line end"));
  checker.isTrue("one rank", listRanks({3}, 4) == "rank 3 of 4");
  checker.isTrue("several", listRanks({0, 1, 2}, 8) == "ranks 0, 1 and 2 of 8");
}

}  // namespace
}  // namespace relic

int main() {
  relic::Checker checker;
  relic::testWords(checker);
  relic::testTable(checker);
  relic::testWatch(checker);
  relic::testCollectives(checker);
  relic::testLarge(checker);
  relic::testDivergence(checker);
  relic::testRefusals(checker);
  relic::testMissing(checker);
  relic::testGarbage(checker);
  relic::testInterrupt(checker);
  for (const int victim : {0, 1, 2}) {
    relic::testDeath(checker, victim);
    relic::testOwnError(checker, victim);
  }
  relic::testConsequence(checker);
  relic::testStuck(checker, false);
  relic::testStuck(checker, true);
  return checker.finish();
}
