// The state directory: what a restart finds.
#include "lib/checkpoint.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "lib/delta_journal.h"
#include "test/fib_model.h"

namespace dvr::test {
namespace {

namespace fs = std::filesystem;

class StateTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "dvr-state-XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    path_ = name + "/state";
    options_.sync = false;
  }
  void TearDown() override { fs::remove_all(fs::path(path_).parent_path()); }

  std::unique_ptr<StateDirectory> open() {
    std::unique_ptr<StateDirectory> d;
    const Status s = StateDirectory::open(path_, options_, &d);
    EXPECT_TRUE(s.ok()) << s.message();
    return d;
  }
  // A restart: what a new process would find, and the report.
  LoadReport restart(const Reference& want, std::uint64_t revision) {
    Fib fib;
    LoadReport report;
    auto d = open();
    const Status s = d->load(&fib, &report);
    EXPECT_TRUE(s.ok()) << s.message();
    Random r(9);
    expect_equal(fib, want, r);
    EXPECT_EQ(fib.summary().position.revision, revision);
    return report;
  }
  std::string file(const char* name) const { return path_ + "/" + name; }
  std::string read(const char* name) const {
    std::ifstream in(file(name), std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  void write(const char* name, const std::string& bytes) const {
    std::ofstream(file(name), std::ios::binary) << bytes;
  }

  std::string path_;
  StateOptions options_;
};

TEST_F(StateTest, InstanceIsKept) {
  std::string first;
  {
    auto d = open();
    first = d->instance();
    EXPECT_EQ(first.size(), 36u);
  }
  EXPECT_EQ(open()->instance(), first);
  write("instance", "nonsense");
  const std::string second = open()->instance();
  EXPECT_NE(second, first);
  EXPECT_EQ(read("instance.damaged"), "nonsense");
  EXPECT_EQ(open()->instance(), second);
}

TEST_F(StateTest, OneProcessAtATime) {
  auto d = open();
  std::unique_ptr<StateDirectory> other;
  const Status s = StateDirectory::open(path_, options_, &other);
  EXPECT_EQ(s.code(), Code::kLocked);
  EXPECT_EQ(other, nullptr);
  d->close();
  EXPECT_TRUE(StateDirectory::open(path_, options_, &other).ok());
}

TEST_F(StateTest, Blobs) {
  auto d = open();
  EXPECT_EQ(d->load_blob("controllers"), std::nullopt);
  EXPECT_TRUE(d->save_blob("controllers", "10.0.0.1:9190\n10.0.0.2:9190").ok());
  EXPECT_EQ(d->load_blob("controllers"), "10.0.0.1:9190\n10.0.0.2:9190");
  EXPECT_TRUE(d->save_blob("controllers", "x").ok());
  EXPECT_EQ(d->load_blob("controllers"), "x");
  for (const char* bad : {"", "../x", "A", "a.b", "a/b"}) {
    EXPECT_EQ(d->save_blob(bad, "x").code(), Code::kInvalid) << bad;
    EXPECT_EQ(d->load_blob(bad), std::nullopt);
  }
  EXPECT_EQ(d->save_blob("big", std::string((16u << 20) + 1, 'x')).code(), Code::kTooLarge);
  EXPECT_TRUE(d->save_blob("controllers", "").ok());
  EXPECT_EQ(d->load_blob("controllers"), std::nullopt);

  EXPECT_TRUE(d->save_blob("a", "value").ok());
  std::string bytes = read("a.blob");
  for (std::size_t n = 0; n < bytes.size(); ++n) {
    std::string bad = bytes;
    bad[n] = static_cast<char>(bad[n] ^ 4);
    write("a.blob", bad);
    ASSERT_EQ(d->load_blob("a"), std::nullopt) << n;
    write("a.blob", bytes.substr(0, n));
    ASSERT_EQ(d->load_blob("a"), std::nullopt) << n;
  }
  write("a.blob", bytes);
  EXPECT_EQ(d->load_blob("a"), "value");
}

TEST_F(StateTest, EmptyDirectory) {
  const LoadReport report = restart({}, 0);
  EXPECT_FALSE(report.found);
  EXPECT_EQ(report.deltas, 0u);
  EXPECT_EQ(report.damaged, "");
}

// Deltas, checkpoints now and then, restarts in between, on one directory.
TEST_F(StateTest, ALifeOfRestarts) {
  Random r(1);
  std::uint64_t revision = 0;
  Reference want;
  options_.journal_limit = 20000;  // a checkpoint comes by itself now and then
  for (int life = 0; life < 12; ++life) {
    Fib fib;
    LoadReport report;
    auto d = open();
    ASSERT_TRUE(d->load(&fib, &report).ok());
    EXPECT_EQ(report.damaged, "");
    EXPECT_EQ(report.torn_bytes, 0u);
    EXPECT_EQ(fib.digest(), want.digest());
    EXPECT_EQ(fib.summary().position.revision, revision);
    d->attach(&fib);
    for (std::size_t i = below(r, 8); i > 0; --i) {
      want = random_reference(r, 60, 12);
      send_full(&fib, want, ++revision);
      if (below(r, 4) == 0) d->request_checkpoint();
      if (below(r, 4) != 0) d->flush();
      if (below(r, 3) == 0) {
        EXPECT_TRUE(d->sync().ok());
      }
    }
    d->close();
  }
  EXPECT_TRUE(fs::exists(file("fib.checkpoint")));
  restart(want, revision);
}

// What was synced survives a process that just stops: the files are copied and loaded elsewhere.
TEST_F(StateTest, SurvivesKill) {
  Random r(2);
  Fib fib;
  LoadReport report;
  auto d = open();
  ASSERT_TRUE(d->load(&fib, &report).ok());
  d->attach(&fib);
  const Reference want = random_reference(r, 80, 10);
  send_full(&fib, want, 5);
  d->flush();
  ASSERT_TRUE(d->sync().ok());
  send_full(&fib, random_reference(r, 80, 10), 6);  // never flushed
  const std::string mine = path_;
  const std::string copy = path_ + "-copy";
  fs::copy(mine, copy);
  path_ = copy;
  EXPECT_EQ(restart(want, 5).deltas, 1u);
  path_ = mine;
}

TEST_F(StateTest, LargeDeltasAndPartialTablesBecomeCheckpoints) {
  Random r(3);
  options_.delta_limit = 500;
  Fib fib;
  LoadReport report;
  auto d = open();
  ASSERT_TRUE(d->load(&fib, &report).ok());
  d->attach(&fib);
  Reference want = random_reference(r, 200, 10);
  send_full(&fib, want, 1);
  d->flush();
  ASSERT_TRUE(d->sync().ok());
  EXPECT_TRUE(fs::exists(file("fib.checkpoint")));

  ASSERT_TRUE(fib.begin(DeltaKind::kFull).ok());
  ASSERT_TRUE(fib.define_class(0, class_id(50), "").ok());
  fib.abort();
  const std::string before = read("fib.checkpoint");
  d->flush();  // partial: the old state stays
  ASSERT_TRUE(d->sync().ok());
  EXPECT_EQ(read("fib.checkpoint"), before);
  want = random_reference(r, 10, 3);
  send_full(&fib, want, 2);
  d->flush();
  ASSERT_TRUE(d->sync().ok());
  EXPECT_NE(read("fib.checkpoint"), before);
  d->close();
  EXPECT_EQ(restart(want, 2).deltas, 0u);
}

class Torn : public StateTest {
 protected:
  void SetUp() override {
    StateTest::SetUp();
    Random r(4);
    Fib fib;
    LoadReport report;
    auto d = open();
    ASSERT_TRUE(d->load(&fib, &report).ok());
    d->attach(&fib);
    for (std::uint64_t i = 1; i <= 4; ++i) {
      tables_.push_back(random_reference(r, 8, 3));
      send_full(&fib, tables_.back(), i);
      if (i == 2) d->request_checkpoint();
      d->flush();
      ASSERT_TRUE(d->sync().ok());
    }
    d->close();
    checkpoint_ = read("fib.checkpoint");
    journal_ = read("fib.journal");
  }
  std::vector<Reference> tables_;  // of revisions 1...4; the checkpoint is of 2
  std::string checkpoint_, journal_;
};

TEST_F(Torn, JournalTailAtEveryByte) {
  for (std::size_t n = 0; n < journal_.size(); n += n > 24 ? 7 : 1) {
    write("fib.checkpoint", checkpoint_);
    write("fib.journal", journal_.substr(0, n));
    Fib fib;
    LoadReport report;
    auto d = open();
    ASSERT_TRUE(d->load(&fib, &report).ok());
    const std::uint64_t revision = fib.summary().position.revision;
    ASSERT_EQ(revision, 2 + report.deltas);
    ASSERT_EQ(fib.digest(), tables_[revision - 1].digest());
    ASSERT_EQ(report.damaged, "");
    // Going on after the cut gives a journal that is whole.
    d->attach(&fib);
    send_full(&fib, tables_[0], 9);
    d->flush();
    d->close();
    restart(tables_[0], 9);
    if (HasFatalFailure()) return;
  }
}

TEST_F(Torn, DamagedCheckpointIsSetAside) {
  for (std::size_t n = 0; n < checkpoint_.size(); n += 13) {
    std::string bad = checkpoint_;
    bad[n] = static_cast<char>(bad[n] ^ 16);
    write("fib.checkpoint", bad);
    write("fib.journal", journal_);
    const LoadReport report = restart({}, 0);
    ASSERT_FALSE(report.found);
    ASSERT_NE(report.damaged.find("fib.checkpoint"), std::string::npos);
    ASSERT_EQ(read("fib.checkpoint.damaged"), bad);
    ASSERT_FALSE(fs::exists(file("fib.checkpoint")));
  }
}

// Between the renames of a new checkpoint and its journal: the old journal is passed over.
TEST_F(Torn, JournalOfAnotherCheckpoint) {
  Fib fib;
  LoadReport report;
  {
    auto d = open();
    ASSERT_TRUE(d->load(&fib, &report).ok());
    d->attach(&fib);
    d->request_checkpoint();
    d->flush();
    d->close();
  }
  write("fib.journal", journal_);
  report = restart(tables_[3], 4);
  EXPECT_TRUE(report.found);
  EXPECT_EQ(report.deltas, 0u);
}

// A full disk at the wrong moment (between the renames of a checkpoint and its
// journal) must not keep a restarted data plane from forwarding.
TEST_F(Torn, ADiskThatCannotBeWrittenStillServes) {
  Fib fib;
  LoadReport report;
  {
    auto d = open();
    ASSERT_TRUE(d->load(&fib, &report).ok());
    d->attach(&fib);
    d->request_checkpoint();
    d->flush();
    d->close();
  }
  write("fib.journal", journal_);                 // the old one
  fs::create_directory(file("fib.journal.tmp"));  // no new one can be made
  Fib served;
  auto d = open();
  ASSERT_TRUE(d->load(&served, &report).ok());
  EXPECT_EQ(served.digest(), tables_[3].digest());
  EXPECT_NE(report.unwritable.find("fib.journal.tmp"), std::string::npos) << report.unwritable;
  // It heals by itself once there is room again.
  fs::remove(file("fib.journal.tmp"));
  d->attach(&served);
  send_full(&served, tables_[0], 9);
  d->flush();
  EXPECT_TRUE(d->sync().ok());
  d->close();
  EXPECT_EQ(restart(tables_[0], 9).unwritable, "");
}

// What could not be saved is saved at the end, however long the pause after the errors.
TEST_F(StateTest, TheEndDoesNotWaitOutThePause) {
  Random r(7);
  Fib fib;
  LoadReport report;
  auto d = open();
  ASSERT_TRUE(d->load(&fib, &report).ok());
  d->attach(&fib);
  fs::create_directory(file("fib.checkpoint.tmp"));
  Reference want = random_reference(r, 30, 4);
  send_full(&fib, want, 1);
  d->request_checkpoint();
  for (int i = 0; i < 40; ++i) {
    d->flush();
    static_cast<void>(d->sync().ok());
  }
  fs::remove(file("fib.checkpoint.tmp"));
  d->close();
  EXPECT_TRUE(restart(want, 1).found);
}

TEST_F(StateTest, WriteErrorsAreReportedAndHealed) {
  Random r(6);
  Fib fib;
  LoadReport report;
  auto d = open();
  ASSERT_TRUE(d->load(&fib, &report).ok());
  d->attach(&fib);
  fs::create_directory(file("fib.checkpoint.tmp"));  // in the way of the next checkpoint
  Reference want = random_reference(r, 30, 4);
  send_full(&fib, want, 1);
  d->request_checkpoint();
  d->flush();
  const Status s = d->sync();
  EXPECT_EQ(s.code(), Code::kIo);
  EXPECT_NE(s.message().find("fib.checkpoint.tmp"), std::string::npos) << s.message();
  fs::remove(file("fib.checkpoint.tmp"));
  for (int i = 0; i < 8; ++i) {
    d->flush();
    EXPECT_TRUE(d->sync().ok());
  }
  d->close();
  EXPECT_TRUE(restart(want, 1).found);
}

// Blobs and deltas reach the disk in the order in which they were handed over. A FIFO in the
// way of the blob holds the directory's thread there, as a crash at that moment would.
TEST_F(StateTest, ABlobSavedLaterComesBetweenTheDeltasAroundIt) {
  Random r(7);
  Fib fib;
  LoadReport report;
  auto d = open();
  ASSERT_TRUE(d->save_blob_later("early", "1").ok());
  EXPECT_EQ(d->load_blob("early"), "1") << "without the thread it is saved at once";
  ASSERT_TRUE(d->load(&fib, &report).ok());
  d->attach(&fib);
  const Reference one = random_reference(r, 30, 5), two = random_reference(r, 30, 5);
  ASSERT_EQ(mkfifo(file("order.blob.tmp").c_str(), 0600), 0);
  send_full(&fib, one, 1);
  EXPECT_TRUE(d->flush());
  ASSERT_TRUE(d->save_blob_later("order", "x").ok());
  send_full(&fib, two, 2);
  EXPECT_TRUE(d->flush());
  ASSERT_TRUE(d->save_blob_later("behind", "y").ok());
  // Once the first delta is there the thread can only be before or at the blob.
  Fib crashed;
  while (replay_journal(read("fib.journal"), &crashed).deltas == 0) std::this_thread::yield();
  for (int i = 0; i < 1000; ++i) std::this_thread::yield();
  EXPECT_EQ(crashed.digest(), one.digest());
  Fib still;
  EXPECT_EQ(replay_journal(read("fib.journal"), &still).deltas, 1u);
  EXPECT_FALSE(fs::exists(file("behind.blob")));
  const int pipe = ::open(file("order.blob.tmp").c_str(), O_RDONLY);
  ASSERT_GE(pipe, 0);
  ASSERT_TRUE(d->sync().ok());
  ::close(pipe);
  fs::remove(file("order.blob"));
  EXPECT_EQ(d->load_blob("behind"), "y");
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(d->save_blob_later("many", std::to_string(i)).ok());
  }
  ASSERT_TRUE(d->save_blob_later("early", "").ok());
  ASSERT_TRUE(d->sync().ok());
  EXPECT_EQ(d->load_blob("many"), "99");
  EXPECT_EQ(d->load_blob("early"), std::nullopt);
  EXPECT_EQ(d->save_blob_later("../x", "x").code(), Code::kInvalid);
  EXPECT_EQ(d->save_blob_later("big", std::string((16u << 20) + 1, 'x')).code(), Code::kTooLarge);
}

// A blob that cannot be written is told, and leaves no hole in the journal.
TEST_F(StateTest, ABlobThatFailsCostsOnlyItself) {
  Random r(8);
  Fib fib;
  LoadReport report;
  auto d = open();
  ASSERT_TRUE(d->load(&fib, &report).ok());
  d->attach(&fib);
  fs::create_directory(file("stuck.blob.tmp"));
  ASSERT_TRUE(d->save_blob_later("stuck", "x").ok());
  const Reference want = random_reference(r, 30, 5);
  send_full(&fib, want, 3);
  d->flush();
  const Status s = d->sync();
  EXPECT_EQ(s.code(), Code::kIo);
  EXPECT_NE(s.message().find("stuck.blob"), std::string::npos) << s.message();
  d->close();
  EXPECT_EQ(restart(want, 3).deltas, 1u);
}

// The journal is what a restart has to insert prefix by prefix: it stays short.
TEST_F(StateTest, AJournalIsReplacedAtItsLimit) {
  Random r(9);
  options_.journal_limit = 3000;
  Fib fib;
  LoadReport report;
  auto d = open();
  ASSERT_TRUE(d->load(&fib, &report).ok());
  d->attach(&fib);
  Reference want;
  std::uint64_t bound = 0;
  for (std::uint64_t i = 1; i <= 60; ++i) {
    want = random_reference(r, 60, 12);
    send_full(&fib, want, i);
    d->flush();
    ASSERT_TRUE(d->sync().ok());
    const std::uint64_t checkpoint =
        fs::exists(file("fib.checkpoint")) ? fs::file_size(file("fib.checkpoint")) : 0;
    bound = std::max<std::uint64_t>(options_.journal_limit, checkpoint / 6);
    ASSERT_LE(fs::file_size(file("fib.journal")), bound + 4000) << i;  // and one delta more
  }
  EXPECT_TRUE(fs::exists(file("fib.checkpoint")));
  d->close();
  restart(want, 60);
}

// What the first version wrote: a checkpoint of columns, and a journal behind it.
TEST_F(StateTest, LoadsWhatVersionOneWrote) {
  fs::create_directories(path_);
  for (const char* name : {"fib.checkpoint", "fib.journal"}) {
    fs::copy(std::string(DVR_TESTDATA) + "/state-v1/" + name, file(name));
  }
  ASSERT_EQ(read("fib.checkpoint")[7], 1);
  Fib fib;
  LoadReport report;
  auto d = open();
  ASSERT_TRUE(d->load(&fib, &report).ok());
  EXPECT_EQ(report.damaged, "");
  EXPECT_TRUE(report.found);
  EXPECT_EQ(report.deltas, 2u);
  EXPECT_EQ(fib.summary().position, at(4));
  EXPECT_EQ(fib.digest().hex(), "4012ea6dc1531ed3688ce027613cb5d0");
  // It goes on in today's version.
  d->attach(&fib);
  d->request_checkpoint();
  d->flush();
  d->close();
  EXPECT_EQ(read("fib.checkpoint")[7], 2);
  restart(contents(fib), 4);
}

}  // namespace
}  // namespace dvr::test
