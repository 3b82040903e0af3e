// The real JavaScript libraries against a running server; prints `ok NAME` for every check and stops at the first that fails.
// LOCALAI_URL, LOCALAI_KEY: where and as whom. COMPAT_MODEL, COMPAT_EMBED: a model for chat and one for embeddings.

import assert from "node:assert/strict";

import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import Anthropic from "@anthropic-ai/sdk";
import { embed, generateObject, generateText, streamText, tool } from "ai";
import { Ollama } from "ollama";
import OpenAI from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";

const url = process.env.LOCALAI_URL;
const apiKey = process.env.LOCALAI_KEY;
const model = process.env.COMPAT_MODEL;
const embedder = process.env.COMPAT_EMBED;
const question = "Which city is the capital of France?";
const messages = [{ role: "user", content: question }];
const city = z.object({ city: z.string().max(12), size: z.number().int().min(0).max(99) });
const parameters = {
  type: "object",
  properties: { city: { type: "string", maxLength: 12 } },
  required: ["city"],
  additionalProperties: false,
};

const openai = new OpenAI({ baseURL: `${url}/v1`, apiKey });
const anthropic = new Anthropic({ baseURL: url, apiKey });
const ollama = new Ollama({ host: url, headers: { Authorization: `Bearer ${apiKey}` } });
const compatible = createOpenAICompatible({ name: "localai", baseURL: `${url}/v1`, apiKey, includeUsage: true });
const cloud = createOpenAI({ baseURL: `${url}/v1`, apiKey });

const checks = {
  async openai_models() {
    const names = [];
    for await (const each of openai.models.list()) names.push(each.id);
    assert(names.includes(model));
  },
  async openai_chat() {
    const seen = { model, messages, temperature: 0, max_tokens: 16 };
    const whole = await openai.chat.completions.create(seen);
    assert(whole.choices[0].message.content.length > 0);
    let text = "";
    let usage = null;
    const options = { ...seen, stream: true, stream_options: { include_usage: true } };
    for await (const chunk of await openai.chat.completions.create(options)) {
      text += chunk.choices[0]?.delta?.content ?? "";
      usage = chunk.usage ?? usage;
    }
    assert.equal(text, whole.choices[0].message.content);
    assert.deepEqual(usage.total_tokens, whole.usage.total_tokens);
  },
  async openai_tool() {
    const tools = [{ type: "function", function: { name: "weather", parameters } }];
    const tool_choice = { type: "function", function: { name: "weather" } };
    const answer = await openai.chat.completions.create({ model, messages, tools, tool_choice, max_tokens: 100 });
    const [call] = answer.choices[0].message.tool_calls;
    assert.equal(call.function.name, "weather");
    assert.equal(typeof JSON.parse(call.function.arguments).city, "string");
  },
  async openai_parse() {
    const response_format = zodResponseFormat(city, "city");
    const answer = await openai.chat.completions.parse({ model, messages, response_format, max_tokens: 100 });
    city.parse(answer.choices[0].message.parsed);
  },
  async openai_embeddings() {
    const answer = await openai.embeddings.create({ model: embedder, input: ["a cat", "a dog"] });
    assert.deepEqual(answer.data.map((row) => row.embedding.length), [384, 384]);
  },
  async openai_error() {
    await assert.rejects(openai.chat.completions.create({ model: "nobody", messages }), OpenAI.NotFoundError);
    const stranger = new OpenAI({ baseURL: `${url}/v1`, apiKey: "wrong" });
    await assert.rejects(stranger.models.list(), OpenAI.AuthenticationError);
  },
  async openai_responses() {
    const seen = { model, input: question, temperature: 0, max_output_tokens: 16 };
    const whole = await openai.responses.create(seen);
    assert(whole.output_text.length > 0);
    let text = "";
    let last = null;
    for await (const event of await openai.responses.create({ ...seen, stream: true })) {
      if (event.type === "response.output_text.delta") text += event.delta;
      last = event;
    }
    assert.equal(text, whole.output_text);
    assert(["response.completed", "response.incomplete"].includes(last.type));
    const next = await openai.responses.create({ ...seen, input: "And of Spain?", previous_response_id: whole.id });
    assert(next.usage.input_tokens > whole.usage.input_tokens);
  },
  async anthropic_message() {
    const seen = { model, messages, max_tokens: 16, temperature: 0 };
    const whole = await anthropic.messages.create(seen);
    assert.equal(whole.content[0].type, "text");
    const stream = anthropic.messages.stream(seen);
    let text = "";
    stream.on("text", (piece) => (text += piece));
    const final = await stream.finalMessage();
    assert.equal(text, whole.content[0].text);
    assert.equal(final.usage.output_tokens, whole.usage.output_tokens);
    const counted = await anthropic.messages.countTokens({ model, messages });
    const usage = whole.usage;
    assert.equal(counted.input_tokens, usage.input_tokens + (usage.cache_read_input_tokens ?? 0));
  },
  async anthropic_tool() {
    const tools = [{ name: "weather", input_schema: parameters }];
    const tool_choice = { type: "tool", name: "weather" };
    const answer = await anthropic.messages.create({ model, messages, max_tokens: 100, tools, tool_choice });
    const used = answer.content.find((block) => block.type === "tool_use");
    assert.equal(used.name, "weather");
    assert.equal(typeof used.input.city, "string");
    assert.equal(answer.stop_reason, "tool_use");
  },
  async anthropic_error() {
    const asked = anthropic.messages.create({ model: "nobody", messages, max_tokens: 1 });
    await assert.rejects(asked, Anthropic.NotFoundError);
  },
  async anthropic_models() {
    const names = [];
    for await (const each of anthropic.models.list()) names.push(each.id);
    assert(names.includes(model));
  },
  async ollama_list() {
    const { models } = await ollama.list();
    assert(models.some((each) => each.name.split(":")[0] === model));
    const shown = await ollama.show({ model });
    assert(shown.capabilities.includes("completion"));
    await ollama.ps();
  },
  async ollama_chat() {
    const seen = { model, messages, options: { temperature: 0, num_predict: 16 } };
    const whole = await ollama.chat(seen);
    let text = "";
    for await (const piece of await ollama.chat({ ...seen, stream: true })) text += piece.message.content;
    assert.equal(text, whole.message.content);
    assert(whole.eval_count > 0);
    const shaped = await ollama.chat({ ...seen, format: z.toJSONSchema(city), options: { num_predict: 100 } });
    city.parse(JSON.parse(shaped.message.content));
  },
  async ollama_embed() {
    const answer = await ollama.embed({ model: embedder, input: ["a cat", "a dog"] });
    assert.deepEqual(answer.embeddings.map((row) => row.length), [384, 384]);
  },
  async ollama_error() {
    await assert.rejects(ollama.chat({ model: "nobody", messages }), /nobody/);
  },
  async ai_compatible() {
    const seen = { model: compatible(model), prompt: question, temperature: 0, maxOutputTokens: 16 };
    const whole = await generateText(seen);
    const streamed = streamText(seen);
    let text = "";
    for await (const piece of streamed.textStream) text += piece;
    assert.equal(text, whole.text);
    assert((await streamed.usage).outputTokens > 0);
    const vector = await embed({ model: compatible.textEmbeddingModel(embedder), value: "a cat" });
    assert.equal(vector.embedding.length, 384);
  },
  async ai_object() {
    const seen = { schema: city, prompt: question, maxOutputTokens: 100 };
    const structured = createOpenAICompatible({
      name: "localai",
      baseURL: `${url}/v1`,
      apiKey,
      supportsStructuredOutputs: true,
    });
    city.parse((await generateObject({ ...seen, model: structured(model) })).object);
    city.parse((await generateObject({ ...seen, model: cloud(model) })).object);
  },
  async ai_tool() {
    const weather = tool({ description: "Weather", inputSchema: z.object({ city: z.string().max(12) }) });
    const seen = { prompt: question, tools: { weather }, toolChoice: { type: "tool", toolName: "weather" } };
    for (const used of [compatible(model), cloud(model)]) {
      const answer = await generateText({ ...seen, model: used, maxOutputTokens: 100 });
      assert.equal(answer.toolCalls[0].toolName, "weather");
      assert.equal(typeof answer.toolCalls[0].input.city, "string");
    }
  },
  async ai_responses() {
    const streamed = streamText({ model: cloud(model), prompt: question, maxOutputTokens: 16 });
    let text = "";
    for await (const piece of streamed.textStream) text += piece;
    assert(text.length > 0);
    assert(["stop", "length"].includes(await streamed.finishReason));
  },
};

const wanted = process.argv.slice(2);
for (const [name, check] of Object.entries(checks)) {
  if (wanted.length && !wanted.some((each) => name.startsWith(each))) continue;
  await check();
  console.log(`ok ${name}`);
}
