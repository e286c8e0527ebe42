#pragma once

#include <gtest/gtest.h>
#include <string>
#include <string_view>

#include "qcqa/support/error.hpp"

namespace qcqa::testing {

/// Runs `action` and expects a qcqa::Error of that kind whose message contains `part`.
template <typename Action>
void expect_error(ErrorKind kind, std::string_view part, Action&& action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(static_cast<int>(error.kind()), static_cast<int>(kind)) << error.what();
    EXPECT_NE(std::string_view(error.what()).find(part), std::string_view::npos)
        << "message: " << error.what() << "\nwanted:  " << part;
    return;
  }
  ADD_FAILURE() << "no error; wanted: " << part;
}

}  // namespace qcqa::testing
