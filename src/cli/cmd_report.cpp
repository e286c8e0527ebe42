#include <cstdio>
#include <memory>

#include "cli/commands.hpp"
#include "qcqa/report/tables.hpp"

namespace qcqa::cli {
namespace {

struct ReportCommand {
  std::string file, compare;
  std::vector<std::string> select;
  bool schema = false;
};

int run(const ReportCommand& command) {
  if (command.schema) {
    std::printf("%s", std::string(report_schema()).c_str());
    return kOk;
  }
  const Report report = read_report(command.file);
  if (command.compare.empty()) {
    std::fputs(report_tables(report, command.select).c_str(), stdout);
  } else {
    std::fputs(compare_tables(report, command.file, read_report(command.compare), command.compare).c_str(), stdout);
  }
  return kOk;
}

std::string section_list() {
  std::string list;
  for (const std::string_view name : report_sections()) list.append(list.empty() ? "" : ", ").append(name);
  return list;
}

}  // namespace

void add_report(CLI::App& app, Action& action) {
  auto command = std::make_shared<ReportCommand>();
  CLI::App* sub = app.add_subcommand("report", "Show a report as tables, or compare two");
  CLI::Option* file = sub->add_option("FILE", command->file, "Report written by search, run or convert");
  CLI::Option* select =
      sub->add_option("--select", command->select, "Sections to show: " + section_list())->delimiter(',');
  CLI::Option* compare = sub->add_option("--compare", command->compare, "Another report to set beside FILE");
  CLI::Option* schema = sub->add_flag("--schema", command->schema, "Print the JSON Schema of reports instead");
  compare->excludes(select);
  schema->excludes(file);
  sub->callback([command, &action, file, schema] {
    if (file->count() == 0 && schema->count() == 0) throw CLI::RequiredError("FILE");
    action = [command] { return run(*command); };
  });
}

}  // namespace qcqa::cli
