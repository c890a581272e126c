// The completion scripts, made from the same declaration as the parser, so that the two cannot disagree. Names that
// only the data knows (workflow types, ids) are asked from the binary itself, by its hidden command `__names`.
#include "config/setting.hpp"
#include "config/setting_table.hpp"
#include "node/cli_app.hpp"

#include <sstream>

namespace pawl::node {
namespace {

struct command_words {
  std::string path;  // "config show"
  std::string about;
  std::string flags;
  std::string commands;
};

std::string flags_of(const CLI::App& app) {
  std::string out;
  for (const auto* o : app.get_options())
    for (const auto& name : o->get_lnames()) out += (out.empty() ? "--" : " --") + name;
  return out;
}

void gather(const CLI::App& app, const std::string& path, std::vector<command_words>& into) {
  std::string commands;
  const auto subs = app.get_subcommands([](const CLI::App* s) { return !s->get_group().empty(); });
  for (const auto* s : subs) commands += (commands.empty() ? "" : " ") + s->get_name();
  into.push_back({path, app.get_description(), flags_of(app), commands});
  for (const auto* s : subs) gather(*s, path.empty() ? s->get_name() : path + " " + s->get_name(), into);
}

std::string settings() {
  std::string out;
  for (const auto& row : config::pawl_settings().rows) out += (out.empty() ? "" : " ") + row.name + "=";
  return out;
}

/// A shell function's name.
std::string function_name(const std::string& program) {
  std::string out = "_complete_";
  for (const char c : program)
    out += (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ? c : '_';
  return out;
}

std::string replaced(std::string text, const std::string& what, const std::string& with) {
  for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + with.size()))
    text.replace(at, what.size(), with);
  return text;
}

// Words before the cursor are walked to find the command; flags that take a value swallow the next word.
constexpr auto bash_text = R"sh(# bash completion of PROGRAM: source it, or put it into /etc/bash_completion.d/PROGRAM
FUNCTION() {
  local cur="${COMP_WORDS[COMP_CWORD]}" prev="" command="" word i flags="" words="" data=()
  ((COMP_CWORD > 0)) && prev="${COMP_WORDS[COMP_CWORD - 1]}"
  for ((i = 1; i < COMP_CWORD; i++)); do
    word="${COMP_WORDS[i]}"
    case "$word" in
      --data | --config) data=("${data[@]}" "$word" "${COMP_WORDS[++i]}") ;;
      TAKES_VALUE) ((++i)) ;;
      -*) ;;
      *)
        case "$command" in
          "") command="$word" ;;
          config) command="config $word" ;;
          types) [[ "$word" == use || "$word" == list ]] && command="types $word" ;;
        esac
        ;;
    esac
  done
  case "$prev" in
    -o | --output) COMPREPLY=($(compgen -W "table json wide" -- "$cur")); return ;;
    --closed-id) COMPREPLY=($(compgen -W "reject allow_if_failed allow" -- "$cur")); return ;;
    --state) COMPREPLY=($(compgen -W "open closed paused running stopping compensating completed failed cancelled killed continued" -- "$cur")); return ;;
    --set) compopt -o nospace 2>/dev/null; COMPREPLY=($(compgen -W "SETTINGS" -- "$cur")); return ;;
    --data) COMPREPLY=($(compgen -d -- "$cur")); return ;;
    --config) COMPREPLY=($(compgen -f -- "$cur")); return ;;
    --type) COMPREPLY=($(compgen -W "$("${COMP_WORDS[0]}" "${data[@]}" __names types 2>/dev/null)" -- "$cur")); return ;;
  esac
  case "$command" in
CASES  esac
  if [[ "$cur" == -* ]]; then
    COMPREPLY=($(compgen -W "$flags GLOBAL_FLAGS" -- "$cur"))
    return
  fi
  case "$command" in
    start | run | "types use" | "types list") words="$("${COMP_WORDS[0]}" "${data[@]}" __names types 2>/dev/null)" ;;
    types) words="$words $("${COMP_WORDS[0]}" "${data[@]}" __names types 2>/dev/null)" ;;
    replay) COMPREPLY=($(compgen -f -- "$cur")); return ;;
    show | history | result | cancel | kill | pause | resume | skip | signal | update | query | reset | fork) words="$("${COMP_WORDS[0]}" "${data[@]}" __names ids 2>/dev/null)" ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -F FUNCTION PROGRAM
)sh";

// zsh runs the bash function through its own bridge, which sets the same variables.
constexpr auto zsh_text = R"sh(#compdef PROGRAM
# zsh completion of PROGRAM: put it into a folder of $fpath as _PROGRAM, or source it after compinit
autoload -Uz bashcompinit && bashcompinit
)sh";

std::string bash_script(const cli_app& c, const std::string& program) {
  std::vector<command_words> all;
  gather(c.app, "", all);
  std::ostringstream cases;
  for (const auto& w : all) {
    if (w.path.empty()) {
      cases << "    \"\") words=\"" << w.commands << "\" ;;\n";
    } else {
      cases << "    \"" << w.path << "\") flags=\"" << w.flags << "\" words=\"" << w.commands << "\" ;;\n";
    }
  }
  std::string takes_value;
  const auto add_flags = [&](const CLI::App& app) {
    for (const auto* o : app.get_options())
      if (!o->get_lnames().empty() && o->get_items_expected_max() > 0)
        for (const auto& name : o->get_lnames())
          if (name != "data" && name != "config" && takes_value.find("--" + name + " ") == std::string::npos)
            takes_value += "--" + name + " | ";
  };
  add_flags(c.app);
  for (const auto* s : c.app.get_subcommands([](const CLI::App*) { return true; })) add_flags(*s);
  std::string text = bash_text;
  text = replaced(text, "CASES", cases.str());
  text = replaced(text, "TAKES_VALUE", takes_value + "-o");
  text = replaced(text, "GLOBAL_FLAGS", flags_of(c.app));
  text = replaced(text, "SETTINGS", settings());
  text = replaced(text, "FUNCTION", function_name(program));
  return replaced(text, "PROGRAM", program);
}

}  // namespace

cli_result<std::string> completion_script(const std::string& shell, const std::string& program) {
  const cli_app c(program);
  if (shell == "bash") return bash_script(c, program);
  if (shell == "zsh") return replaced(zsh_text, "PROGRAM", program) + bash_script(c, program);
  return usage_error("there is no completion for the shell " + config::in_quotes(shell), "Write bash or zsh");
}

}  // namespace pawl::node
