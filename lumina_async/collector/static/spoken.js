// What was said to a model and by it, in whatever form a client has it, as messages with a role and a content.

import { fields, isBlank, isObject, objects, str } from "./dom.js";

const ROLES = { human: "user", HumanMessageChunk: "user", ai: "assistant", AIMessageChunk: "assistant", model: "assistant", function: "tool" };
// The forms of LangChain have a type in place of a role.
const TYPES = new Set([...Object.keys(ROLES), "user", "assistant", "system", "tool", "chat"]);
// What a client is given under a name of its own.
const NAMES = { system: "system", instructions: "system", messages: "user", contents: "user", input: "user", prompt: "user" };
// The parts of pydantic-ai.
const PARTS = { "system-prompt": "system", "user-prompt": "user", "tool-return": "tool", "retry-prompt": "tool", text: "assistant", thinking: "assistant" };

const isAnswer = ({ role }) => (ROLES[str(role)] ?? role) === "assistant";
const isEmpty = (content) => content == null || content === "" || (Array.isArray(content) && !content.length);

/** What a model said last in a turn, as messages. */
export function answers(turn) {
  const said = objects(turn.llm).findLast(({ output }) => !isBlank(output));
  return said ? messagesOf(said.output, "assistant") ?? [{ role: "assistant", content: str(said.output, 2) }] : [];
}

/** Whether somebody answered what the person said last. */
export function isAnswered(messages) {
  const all = objects(messages);
  const asked = all.findLastIndex(({ role }) => str(role) === "user");
  return all.slice(asked + 1).some((message) => isAnswer(message) && !isEmpty(message.content ?? message.parts));
}

/** The messages in a value, what has no role in this one; null where it holds something else. */
export function messagesOf(value, role) {
  if (typeof value === "string") return [{ role, content: value }];
  const all = Array.isArray(value) ? value.flatMap((one) => message(one, role)) : isObject(value) ? named(value) ?? message(value, role) : [null];
  return all.length && all.every(Boolean) ? all : null;
}

function named(value) {
  const entries = Object.entries(value);
  const isNamed = entries.length > 0 && entries.every(([name]) => Object.hasOwn(NAMES, name));
  return isNamed ? entries.flatMap(([name, said]) => messagesOf(said, NAMES[name]) ?? [null]) : null;
}

function message(given, role) {
  if (typeof given === "string") return [{ role, content: given }];
  if (!isObject(given)) return [null];
  const { type, kind, parts, content, name } = given;
  // 1. OpenAI's responses have calls of tools, and what came of them, between the messages.
  if (type === "function_call") return [{ role: "assistant", tool_calls: [given] }];
  if (type === "function_call_output") return [{ role: "tool", name: given.call_id, content: given.output }];
  // 2. pydantic-ai has what several roles said in one request.
  if (kind && Array.isArray(parts) && parts.every((part) => fields(part).part_kind)) return parts.map(spoken);
  // 3. Everybody else has a role, or a type in its place; Google has parts in place of a content.
  const said = typeof given.role === "string" && given.role ? given.role : "content" in given && TYPES.has(type) ? type : Array.isArray(parts) ? role : null;
  if (said) return [{ role: Object.hasOwn(ROLES, said) ? ROLES[said] : said, name: name ?? given.tool_call_id, content: content ?? parts, tool_calls: given.tool_calls }];
  // 4. A part by itself.
  return [typeof given.text === "string" || type === "tool_use" ? { role, content: [given] } : null];
}

function spoken(part) {
  if (part.part_kind === "tool-call") return { role: "assistant", tool_calls: [{ name: part.tool_name, arguments: part.args }] };
  return { role: PARTS[part.part_kind] ?? "other", name: part.tool_name, content: part.content };
}
