#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstdio>
#include <memory>

#include "cli/commands.hpp"
#include "qcqa/pipeline/distill.hpp"
#include "qcqa/report/sections.hpp"

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
  const std::vector<Section> sections =
      command.compare.empty() ? report_sections(report, command.select)
                              : compare_sections(report, command.file, read_report(command.compare), command.compare);
  std::fputs(text_of(sections).c_str(), stdout);
  if (const std::string since = distilled_since(command.file); !since.empty()) fmt::print("\n{}\n", since);
  return kOk;
}

}  // namespace

void add_report(CLI::App& app, Action& action) {
  auto command = std::make_shared<ReportCommand>();
  CLI::App* sub = app.add_subcommand("report", "Show a report as tables, or compare two");
  CLI::Option* file = sub->add_option("FILE", command->file, "Report written by search, run or convert");
  CLI::Option* select = sub->add_option("--select", command->select,
                                        fmt::format("Sections to show: {}", fmt::join(section_names(), ", ")))
                            ->delimiter(',');
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
