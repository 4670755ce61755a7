// Syntax colours of the flow language for Ace. Statement words colour only where a statement can start (LANGUAGE.md).

const STATEMENTS = "flow|param|source|fn|step|expect|sink|test";
const OPERATIONS =
  "where|derive|select|drop|rename|cast|left|inner|full|semi|anti|cross|asof|lookup|group|window|sort|take|distinct|" +
  "dedupe|union|unnest|pivot|unpivot|sample|fill|sql";
const WORDS = "and|or|not|in|is|between|case|else|as|on|by|bring|keep|first|last|order|rows|with|given|then|join|allow|values|into|forward|max|seed";
const SEVERITIES = "fail|warn|quarantine";
const TYPES = "bool|int|double|decimal|text|date|time|timestamp|timestamptz|duration|json|list|struct";

export function flowMode(ace) {
  const { TextHighlightRules } = ace.require("ace/mode/text_highlight_rules");
  const { Mode: TextMode } = ace.require("ace/mode/text");

  class FlowRules extends TextHighlightRules {
    constructor() {
      super();
      const word = this.createKeywordMapper(
        { "keyword.control": WORDS, "storage.type": TYPES, "constant.language": "true|false|null", "support.constant": SEVERITIES },
        "identifier",
      );
      this.$rules = {
        start: [
          { token: "comment", regex: /#.*$/ },
          { token: ["text", "keyword.statement", "text", "entity.name.function"], regex: `^(\\s*)(${STATEMENTS})(\\s+)([A-Za-z_]\\w*)` },
          { token: ["text", "keyword.statement"], regex: `^(\\s*)(${STATEMENTS})\\b(?!\\s*[,:=])` },
          { token: "text", regex: /^\s*(?=\|.*\|\s*$)/, next: "table" },
          { token: ["keyword.operator", "text", "keyword.operation"], regex: `(\\|)(\\s*)(${OPERATIONS})\\b` },
          { token: "string", regex: '"""', next: "sql" },
          { token: "string", regex: /"(?:[^"\\]|\\.)*"?/ },
          { token: "variable.other", regex: /`[^`]*`?/ },
          { token: "variable.parameter", regex: /@[A-Za-z_]\w*/ },
          { token: "constant.numeric", regex: /\d{4}-\d{2}-\d{2}(?: \d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?)?/ },
          { token: "constant.numeric", regex: /\d[\d_]*(?:\.\d+)?(?:e[+-]?\d+)?(?:ms|[smhdw%])?/ },
          { token: "support.function", regex: /[a-z_]\w*(?=\()/ },
          { token: word, regex: /[A-Za-z_]\w*/ },
          { token: "keyword.operator", regex: /=>|->|==|!=|<=|>=|\?\?|\.\.|[-+*\/%<>=|]/ },
          { token: "paren.lparen", regex: /[[({]/ },
          { token: "paren.rparen", regex: /[\])}]/ },
        ],
        sql: [{ token: "string", regex: '"""', next: "start" }, { defaultToken: "string" }],
        table: [
          { token: "table.rule", regex: /\|(?=\s*$)/, next: "start" },
          { token: "table.rule", regex: /\|/ },
          { token: "table.cell", regex: /(?:\\.|[^|\\])+/ },
          { token: "text", regex: /$/, next: "start" },
        ],
      };
    }
  }

  class FlowMode extends TextMode {
    constructor() {
      super();
      this.HighlightRules = FlowRules;
      this.lineCommentStart = "#";
      this.$behaviour = this.$defaultBehaviour;
      this.$id = "flow";
    }

    getNextLineIndent(state, line, tab) {
      const indent = this.$getIndent(line);
      return /[{([]\s*$/.test(line) || /^step\b/.test(line) ? indent + tab : indent;
    }
  }

  return new FlowMode();
}
