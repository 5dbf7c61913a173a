---@meta llm
-- Declarations for editors (LuaCATS). What is marked "later" answers nil, message, "unsupported" in this version.

---@alias llm.code
---| "no_device" | "not_found" | "io" | "bad_model" | "unsupported" | "out_of_memory" | "context_full" | "cancelled"
---| "device_lost" | "closed" | "busy" | "bad_state" | "bad_grammar" | "bad_template" | "bad_json" | "callback"

---@class llm.message
---@field role string
---@field content string

---@alias llm.prompt string | integer[] | llm.message[] a list of messages: later

---@class llm.device
---@field index integer from 1
---@field name string
---@field type "discrete" | "integrated" | "virtual" | "cpu" | "other"
---@field vendor string
---@field driver string
---@field api string version of Vulkan
---@field memory integer bytes
---@field available integer bytes
---@field subgroup integer
---@field tiers string[] sets of kernels that the device can run
---@field deterministic boolean the same text for the same seed, whatever runs beside it

---@class llm.load_options
---@field device? integer | string | lightuserdata index from 1, part of a name, "cpu", or a device that the host lends
---@field context? integer tokens per session; default: the smaller of 4096 and what the model was trained for
---@field kv? "f16" | "f32" | "q8_0" | "q4_0" type of the KV cache; default "f16"
---@field kv_tokens? integer positions that all sessions together may hold; default: four contexts, or what fits
---@field memory? integer hard limit in bytes for this model on the device
---@field gpu_layers? integer default: as many as fit
---@field progress? fun(fraction: number): boolean? rising, last 1; false cancels
---@field read? fun(offset: integer, length: integer): string? in place of the file; needs size
---@field size? integer bytes that read can give
---@field vocab_only? boolean info and text alone; no device is touched
---@field cache? string | false folder for pipelines and tuning; false: none
---@field precision? "fast" | "high" default "fast"
---@field deterministic? boolean
---@field yield? boolean in a coroutine: yield once a slice in place of waiting

---@class llm.sampling_options
---@field max_tokens? integer default: as many as fit
---@field temperature? number 0 takes the best token; default 0.8
---@field top_k? integer 0: off; default 40
---@field top_p? number 1: off; default 0.95
---@field min_p? number 0: off; default 0.05
---@field typical_p? number 1: off, the default
---@field repeat_penalty? number 1: off, the default
---@field presence_penalty? number
---@field frequency_penalty? number
---@field penalty_last_n? integer
---@field seed? integer default: random; the result tells it
---@field stop? string | string[]
---@field logit_bias? table<integer, number>
---@field logprobs? integer how many alternatives a token
---@field on_piece? fun(piece: string, info: llm.piece_info): boolean? false cancels
---@field priority? integer
---@field overflow? "stop" | "drop" | fun(session: llm.session) all but "stop": later
---@field yield? boolean in a coroutine: yield once a slice in place of waiting
---@field dry? { multiplier: number, base: number, length: integer } later
---@field xtc? { probability: number, threshold: number } later
---@field mirostat? { tau: number, eta: number } later
---@field grammar? string GBNF; later
---@field schema? table JSON schema; later
---@field tools? table[] later
---@field sampler? table | fun(candidates: number[][]): integer later
---@field speculative? any later

---@class llm.session_options : llm.sampling_options
---@field context? integer
---@field system? string later

---@class llm.piece_info
---@field index integer from 1
---@field id integer
---@field logprob? number where asked for

---@class llm.timings
---@field prompt_ms number
---@field generate_ms number
---@field prompt_per_second number
---@field generate_per_second number

---@class llm.result
---@field text string without the stop string
---@field finish "stop" | "length" | "cancelled" | "error"
---@field tokens integer generated, the end token included
---@field prompt_tokens integer
---@field cached_tokens integer of the prompt, already held
---@field seed integer
---@field stop? string the string that matched
---@field logprobs? { id: integer, logprob: number, top: number[][] }[]
---@field timings llm.timings
---@field error? string
---@field code? llm.code

---@class llm.info
---@field architecture string
---@field name? string
---@field parameters integer
---@field quantization string
---@field file_bytes integer
---@field vocab_size integer
---@field context integer trained
---@field layers integer
---@field embedding integer
---@field bos_token? integer
---@field eos_tokens integer[]
---@field device? llm.device nil with vocab_only
---@field memory { weights: integer, kv_per_token: integer, kv: integer, scratch: integer }
---@field chat_template? string
---@field license? string

---@class llm.job
local job = {}
---@return "running" | "done" | nil state
---@return any value fraction while running, then the value, or a message
---@return llm.code? code
function job:poll() end
---@param seconds? number without: until it ends
---@return "running" | "done" | nil state
---@return any value
---@return llm.code? code
function job:wait(seconds) end
function job:cancel() end
function job:close() end

---@class llm.generation
local generation = {}
---@return string piece "" when there is nothing new
---@return boolean done
function generation:poll() end
---@param seconds? number without: until it ends; 0 does not wait
---@return boolean done
function generation:wait(seconds) end
---@return llm.result? result nil before the end
function generation:result() end
function generation:cancel() end
function generation:close() end

---@class llm.stream
---@overload fun(): string?, llm.piece_info?
local stream = {}
---@return llm.result?
function stream:result() end
function stream:close() end

---@class llm.session
---@field length integer tokens held
---@field capacity integer
---@field result? llm.result of the last generation
local session = {}
---@param prompt llm.prompt
---@param options? llm.sampling_options
---@return string? text
---@return llm.result | string result
---@return llm.code? code
function session:generate(prompt, options) end
---@param prompt llm.prompt
---@param options? llm.sampling_options
---@return llm.stream
function session:stream(prompt, options) end
---@param prompt llm.prompt
---@param options? llm.sampling_options
---@return llm.generation? generation
---@return string? message
---@return llm.code? code
function session:start(prompt, options) end
---@param prompt string | integer[]
---@param options? { async: boolean?, yield: boolean? }
---@return integer | llm.job | nil length a job with async
---@return string? message
---@return llm.code? code
function session:feed(prompt, options) end
---@param n integer | "raw"
---@param options? { async: boolean?, yield: boolean? }
---@return number[][] | string | llm.job | nil best { {id, logit}, ... }, or packed f32 with "raw"
---@return string? message
---@return llm.code? code
function session:logits(n, options) end
---@return integer[]
function session:tokens() end
---@param n integer
function session:truncate(n) end
function session:reset() end
---@return llm.session? fork
---@return string? message
---@return llm.code? code
function session:fork() end
---@param options? { kv: boolean?, path: string?, write: (fun(data: string): boolean?)?, async: boolean?, yield: boolean? }
---@return string | true | llm.job | nil blob true with path or write
---@return string? message
---@return llm.code? code
function session:save(options) end
function session:cancel() end
function session:close() end
---later
function session:chat(message, options) end
---later
function session:chat_start(message, options) end
---later
function session:chat_stream(message, options) end
---later
function session:messages() end
---later
function session:edit(index, message) end
---later
function session:undo() end
---later
function session:regenerate(options) end

---@class llm.model
---@field info llm.info
local model = {}
---@param text string
---@param options? { bos: boolean?, special: boolean? }
---@return integer[]
function model:tokenize(text, options) end
---@param ids integer[]
---@param options? { special: boolean? }
---@return string
function model:detokenize(ids, options) end
---@param prompt llm.prompt
---@param options? { special: boolean? }
---@return integer? n
---@return string? message
---@return llm.code? code
function model:count(prompt, options) end
---@param prompt llm.prompt
---@param options? llm.sampling_options
---@return string? text
---@return llm.result | string result
---@return llm.code? code
function model:generate(prompt, options) end
---@param prompt llm.prompt
---@param options? llm.sampling_options
---@return llm.stream
function model:stream(prompt, options) end
---@param options? llm.session_options
---@return llm.session? session
---@return string? message
---@return llm.code? code
function model:session(options) end
---@param prompt llm.prompt
---@param choices (string | integer[])[]
---@param options? { normalize: boolean?, async: boolean?, yield: boolean? }
---@return integer | llm.job | nil index
---@return string? choice
---@return number[] | llm.code | nil log_probabilities
function model:choose(prompt, choices, options) end
---@param from string | { path: string?, read: (fun(offset: integer, length: integer): string?)?, size: integer? }
---@param options? { async: boolean?, yield: boolean? }
---@return llm.session | llm.job | nil session
---@return string? message
---@return llm.code? code
function model:restore(from, options) end
function model:close() end
---later
function model:template(messages, options) end
---later
function model:embed(text, options) end
---later
function model:suspend() end
---later
function model:resume() end
---later
function model:pointer() end

---@class llm
---@field _NAME string
---@field _VERSION string
---@field version integer[]
---@field null lightuserdata JSON's null
local llm = { json = {} }
---@return llm.device[] devices best first
function llm.devices() end
---@param path string
---@param options? llm.load_options
---@return llm.model? model
---@return string? message
---@return llm.code? code
function llm.load(path, options) end
---@param path string
---@param options? llm.load_options
---@return llm.job? job
---@return string? message
---@return llm.code? code
function llm.load_async(path, options) end
---@param milliseconds? number
---@return boolean working true while work remains
function llm.update(milliseconds) end
---@param level "error" | "warning" | "info" | "debug" | nil nil silences
---@param sink? fun(level: string, text: string)
function llm.log(level, sink) end
---@return number seconds monotonic
function llm.clock() end
---@param seconds number
function llm.sleep(seconds) end
---@generic T : table
---@param list? T
---@return T list written as a JSON array, also when it is empty
function llm.array(list) end
---@param value any
---@return string
function llm.json.encode(value) end
---@param text string
---@return any value
---@return string? message
---@return "bad_json"? code
function llm.json.decode(text) end
---later
function llm.selftest(device) end
---later
function llm.template(source, values) end
---later
function llm.adopt(pointer) end

return llm
