#include "cmd/log.h"

#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>

#include <regex>
#include <sstream>

namespace dvr::cmd {
namespace {

std::string lines(bool json, stream::Level level, const std::function<void(Log&)>& write) {
  std::ostringstream out;
  Log log(json, level, std::make_shared<spdlog::sinks::ostream_sink_mt>(out));
  write(log);
  return out.str();
}

TEST(LogTest, JsonIsOneObjectALine) {
  const std::string text = lines(true, stream::Level::kInfo, [](Log& log) {
    log.info("connected", {{"controller", "127.0.0.1:9190"}, {"revision", 7u}});
  });
  EXPECT_TRUE(std::regex_match(
      text, std::regex(R"(\{"level":"info","ts":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z",)"
                       R"("msg":"connected","controller":"127\.0\.0\.1:9190","revision":7\}\n)")))
      << text;
}

TEST(LogTest, ConsoleIsTabbed) {
  const std::string text = lines(false, stream::Level::kInfo, [](Log& log) {
    log.warn("lost", {{"retry_in_ms", 50}});
    log.error("bare");
  });
  EXPECT_TRUE(std::regex_match(text, std::regex("\\S+\tWARN\tlost\t\\{\"retry_in_ms\": 50\\}\n"
                                                "\\S+\tERROR\tbare\n")))
      << text;
}

TEST(LogTest, LevelsFilter) {
  const std::string text = lines(true, stream::Level::kWarn, [](Log& log) {
    EXPECT_FALSE(log.enabled(stream::Level::kInfo));
    log.debug("no");
    log.info("no");
    log.warn("yes");
  });
  EXPECT_EQ(text.find("\"no\""), std::string::npos);
  EXPECT_NE(text.find("\"yes\""), std::string::npos);
}

TEST(LogTest, WhatControllersSayCannotForgeLines) {
  std::string json;
  append_json(json, "a\"b\\c\nd\x01\xff\xe2\x82\xac\xc0\xaf");
  EXPECT_EQ(json, "\"a\\\"b\\\\c\\u000ad\\u0001\xef\xbf\xbd\xe2\x82\xac\xef\xbf\xbd\xef\xbf\xbd\"");
  const std::string text = lines(false, stream::Level::kInfo, [](Log& log) {
    log.info("x", {{"reason", "bad\n2026 ERROR forged"}});
  });
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1);
}

}  // namespace
}  // namespace dvr::cmd
