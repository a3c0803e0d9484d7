// What an action throws, for tests of messages.
#pragma once

#include <string>

#include "base/error.hpp"

namespace sparrow::test {

/// The message of the Error that `action` throws; "" when it throws none.
template <class Action>
std::string error_of(Action&& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

}  // namespace sparrow::test
