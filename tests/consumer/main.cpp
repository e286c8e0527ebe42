// Uses the library as an outsider would: installed headers, the installed package, one result checked.
#include <qcqa/plan/grouping.hpp>
#include <qcqa/support/error.hpp>

#include <iostream>

int main() {
  const auto grouping = qcqa::Grouping::contiguous(8, 4);
  try {
    (void)qcqa::Grouping::contiguous(8, 3);
  } catch (const qcqa::Error& error) {
    std::cout << "8 heads in " << grouping.groups() << " groups; and: " << error.what() << '\n';
    return grouping.groups() == 4 ? 0 : 1;
  }
  return 1;
}
