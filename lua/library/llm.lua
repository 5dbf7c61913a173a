---@meta llm
-- The module for editors that read LuaCATS annotations. Nothing here runs.

---@alias llm.code
---| "no_device" # no Vulkan, or no device of that index or name
---| "not_found" # no such file
---| "io" # a file or a read function failed
---| "bad_model" # the file is damaged or no GGUF file
---| "unsupported" # sound, but not of this version
---| "out_of_memory"
---| "context_full" # the prompt does not fit
---| "cancelled"
---| "device_lost"
---| "closed"
---| "busy" # a generation of this session is in flight
---| "bad_state" # a saved session is damaged, cut, foreign or newer
---| "bad_grammar"
---| "bad_template"
---| "bad_json"
---| "callback" # a function of the script raised

---@class llm
---@field _NAME string "llm"
---@field _VERSION string "llm 0.1.0"
---@field version integer[] {0, 1, 0}
---@field null lightuserdata JSON's null
---@field json llm.json
local llm = {}

---@class llm.device
---@field index integer from 1, best first
---@field name string
---@field type "discrete"|"integrated"|"virtual"|"cpu"|"other"
---@field vendor string
---@field driver string
---@field api string Vulkan version
---@field memory integer bytes of the memory that weights would live in
---@field available integer bytes of it that are free
---@field tiers string[] tiers of kernels that it has, "T0" first; "T3": packed products of bytes
---@field deterministic boolean the same seed gives the same text whatever runs beside it
---@field subgroup integer invocations of a subgroup

---Devices, best first. Empty without Vulkan.
---@return llm.device[]
function llm.devices() end

---@class llm.load_options
---@field device? integer|string|lightuserdata index, part of a name, a type such as "cpu", or the host's `struct llm_vulkan_device *`
---@field context? integer tokens a session; default: the smaller of 4096 and what the model was trained for
---@field kv? "f16"|"f32"|"q8_0"|"q4_0" type of the cache; default "f16", which is "f32" where heads are no multiple of 8 dimensions
---@field kv_tokens? integer positions that all sessions together may hold; default: four full contexts or what fits
---@field memory? integer limit in bytes for this model on the device
---@field gpu_layers? integer default: as many as fit
---@field precision? "fast"|"high" "high": f32 activations throughout; default "fast"
---@field deterministic? boolean the same seed gives the same text, whatever runs beside it
---@field vocab_only? boolean info and tokenizer alone; touches no device
---@field cache? string|boolean folder of the pipeline cache; false for none
---@field progress? fun(fraction: number): boolean? rising, last 1; false cancels
---@field read? fun(offset: integer, length: integer): string? offsets from 0; needs `size`; the path is then only a name
---@field size? integer bytes of what `read` reads
---@field yield? boolean inside a coroutine: yield after each slice instead of waiting (load only)

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

---Pumps every load and generation of this Lua state for at most so many milliseconds. `update(0)` never waits.
---Greedy generations (temperature 0, no penalties, biases or logprobs) may write several tokens between two calls.
---@param milliseconds? number
---@return boolean more true while work remains
function llm.update(milliseconds) end

---Calls the function for each message of this level and the more severe ones; nil silences.
---@param level "error"|"warning"|"info"|"debug"|nil
---@param f? fun(level: string, text: string)
function llm.log(level, f) end

---Monotonic wall time.
---@return number seconds
function llm.clock() end

---@param seconds number
function llm.sleep(seconds) end

---Marks a table as a JSON array, empty or not.
---@generic T: table
---@param t? T
---@return T
function llm.array(t) end

---@class llm.kernel_report
---@field operation string such as "Q4_K product"
---@field name string the kernel and its constants
---@field rows? integer of activations, where it depends on them
---@field ok boolean computes what it should
---@field chosen boolean is the one that is used
---@field error number NMSE against double precision
---@field bound number the most that is ok
---@field microseconds? number of one call
---@field gb_per_second? number
---@field gflop_per_second? number

---@class llm.selftest_report
---@field device llm.device
---@field ok boolean all kernels are
---@field seconds number that it took
---@field kernels llm.kernel_report[]

---Checks every kernel that the device would use, and times those among which there is a choice: models loaded from then
---on use the fastest. device: index or part of a name; the best one without it. With async = true a job.
---@param device? integer|string
---@param options? { async?: boolean, yield?: boolean }
---@return llm.selftest_report|llm.job|nil report
---@return string? message
---@return string? code
function llm.selftest(device, options) end

---Renders a chat template (Jinja). values: messages, tools, documents, add_generation_prompt, bos_token, eos_token,
---now (seconds, for strftime_now), and what else it reads.
---@param source string
---@param values? table<string, any>
---@return string? text
---@return string? message "template NAME:LINE:COLUMN: message: expression"
---@return "bad_template"? code
function llm.template(source, values) end

---Not in this version.
---@return nil, string, "unsupported"
function llm.adopt(pointer) end

---@class llm.json
local json = {}

---Compact. `{}` is an object unless marked by `llm.array`. Keys in the order they were decoded in, else the customary one.
---@param value any
---@return string
function json.encode(value) end

---@param text string
---@return any value
---@return string? message with line and column
---@return "bad_json"? code
function json.decode(text) end

---Work in flight that gives a value at its end.
---@class llm.job
local job = {}

---Never waits, and repeats its answer: "running", fraction, or "done", value, or nil, message, code.
---@return "running"|"done"|nil state
---@return any value
---@return llm.code? code
function job:poll() end

---@param seconds? number none: until the end
---@return "running"|"done"|nil state
---@return any value
---@return llm.code? code
function job:wait(seconds) end
function job:cancel() end
function job:close() end

---@class llm.model_memory bytes on the device
---@field weights integer
---@field kv_per_token integer
---@field kv integer
---@field scratch integer

---@class llm.model_pipelines kernels that the driver compiled while the model was loaded
---@field made integer
---@field reported integer of which the driver says whether its cache had them
---@field cached integer that its cache had
---@field ms number that each took, added up

---@class llm.model_info
---@field architecture string
---@field name? string
---@field parameters integer
---@field quantization? string
---@field file_bytes integer
---@field vocab_size integer
---@field context integer what it was trained for
---@field layers integer
---@field embedding integer
---@field bos_token? integer
---@field adds_bos boolean true: text in an empty session begins with bos_token
---@field eos_tokens integer[]
---@field device? llm.device none with vocab_only
---@field memory llm.model_memory
---@field pipelines? llm.model_pipelines none with vocab_only
---@field chat_template? string
---@field license? string

---@class llm.message
---@field role string "system", "user", "assistant", "tool"
---@field content? string|table|lightuserdata
---@field reasoning_content? string
---@field tool_calls? llm.tool_call[]
---@field tool_call_id? string of a tool's answer

---@class llm.tool_call
---@field type "function"
---@field function { name: string, arguments: table }

---A string (taken as it is, after the beginning token where the model wants one and the session is empty), a list of
---token ids (taken exactly) or a list of messages (through the model's chat template).
---@alias llm.prompt string|integer[]|llm.message[]

---@class llm.template_options
---@field system? string text of the system message
---@field tools? table[] passed to the template
---@field documents? table[] passed to the template
---@field template? table<string, any> more values for the template, such as enable_thinking
---@field add_generation_prompt? boolean default true
---@field now? number seconds, for strftime_now; default: the time

---@class llm.model
---@field info llm.model_info
local model = {}

---@class llm.tokenize_options
---@field bos? boolean add the beginning token
---@field special? boolean special tokens written in the text are tokens

---@param text string
---@param options? llm.tokenize_options
---@return integer[] ids
function model:tokenize(text, options) end

---@param ids integer[]
---@param options? { special: boolean? }
---@return string text
function model:detokenize(ids, options) end

---Tokens that a prompt would take in an empty session.
---@param prompt llm.prompt
---@param options? llm.template_options
---@return integer? tokens
---@return string? message
---@return llm.code? code
function model:count(prompt, options) end

---@class llm.generate_options
---@field max_tokens? integer default: as many as fit
---@field temperature? number default 0.8; 0: the best token, ties to the lowest id
---@field top_k? integer default 40; 0: off
---@field top_p? number default 0.95; 1: off
---@field min_p? number default 0.05; 0: off
---@field typical_p? number default 1: off
---@field repeat_penalty? number default 1: off
---@field presence_penalty? number
---@field frequency_penalty? number
---@field penalty_last_n? integer tokens that penalties look back on; -1: all
---@field seed? integer default: a random one, which the result tells
---@field stop? string|string[]
---@field logit_bias? table<integer, number>
---@field dry? llm.dry
---@field xtc? llm.xtc
---@field mirostat? llm.mirostat in the place of top_k, top_p, min_p, typical_p and xtc
---@field logprobs? integer alternatives to report at each token, at most 256
---@field on_piece? fun(piece: string, info: llm.piece_info): boolean? false cancels
---@field priority? integer a higher one goes first
---@field overflow? "stop"|"drop"|fun(session: llm.session) what a full context does: the end, the oldest exchanges go (the
---system prompt stays; of plain text the older half), or the function makes room by truncate, reset or messages
---@field speculative? boolean tokens that followed the same words before are tried several at a time; the same text
---@field grammar? string not in this version
---@field schema? table not in this version
---@field sampler? function|table[] not in this version
---@field yield? boolean inside a coroutine: yield after each slice instead of waiting

---A token that would prolong a repetition of n >= length tokens loses multiplier * base^(n - length) of its logit.
---Repetitions end at control tokens, line breaks, colons, quotation marks and stars.
---@class llm.dry
---@field multiplier? number default 0.8; 0: off
---@field base? number default 1.75
---@field length? integer default 2

---With this probability all tokens of at least the threshold but the least likely of them are left out.
---@class llm.xtc
---@field probability? number default 0.5; 0: off
---@field threshold? number default 0.1

---Mirostat 2: keeps the surprise of the tokens near tau bits.
---@class llm.mirostat
---@field tau? number default 5; 0: off
---@field eta? number how fast it adapts; default 0.1

---@class llm.chat_options: llm.generate_options
---@field system? string text of the system message
---@field tools? table[] passed to the template
---@field documents? table[] passed to the template
---@field template? table<string, any> more values for the template

---@class llm.session_options: llm.chat_options
---@field context? integer tokens; default: the model's

---@class llm.piece_info
---@field index integer of the token that completed the text, from 1
---@field id integer
---@field logprob? number where `logprobs` was asked for
---@field kind? "text"|"reasoning"|"tool" of a chat_stream; "tool": a whole call as the model wrote it

---@class llm.timings
---@field prompt_ms number
---@field generate_ms number
---@field prompt_per_second number
---@field generate_per_second number

---@class llm.token_logprob
---@field id integer
---@field logprob number
---@field top number[][] { {id, logprob}, ... }, best first

---@class llm.result
---@field text string without the stop string and the end token
---@field finish "stop"|"length"|"cancelled"|"error"
---@field tokens integer generated, the end token counted
---@field prompt_tokens integer
---@field cached_tokens integer prompt tokens that the session already held
---@field seed integer
---@field stop? string the string that matched
---@field logprobs? llm.token_logprob[] one a token
---@field timings llm.timings
---@field reply? llm.reply where the prompt was a list of messages
---@field error? string where finish is "error"
---@field code? llm.code

---@param prompt llm.prompt
---@param options? llm.generate_options
---@return string? text
---@return llm.result|string result or message
---@return llm.code? code
function model:generate(prompt, options) end

---@param prompt llm.prompt
---@param options? llm.generate_options
---@return llm.stream
function model:stream(prompt, options) end

---A conversation with its own context. Generation options are its defaults.
---@param options? llm.session_options
---@return llm.session? session
---@return string? message
---@return llm.code? code
function model:session(options) end

---Scores each choice after the prompt: natural logs summed over its tokens.
---@param prompt llm.prompt
---@param choices llm.prompt[]
---@param options? { normalize: boolean?, async: boolean?, yield: boolean? } normalize: by the number of tokens. A job gives "done", index, choice, logs
---@return integer? index
---@return string choice or message
---@return number[]|llm.code log_probabilities or code
function model:choose(prompt, choices, options) end

---@param source string|{ path: string?, read: (fun(offset: integer, length: integer): string?)?, size: integer? }
---@param options? { async: boolean?, yield: boolean? }
---@return llm.session? session
---@return string? message
---@return llm.code? code
function model:restore(source, options) end

---Cancels and closes its sessions.
function model:close() end

---The model's own chat template, rendered.
---@param messages string|llm.message|llm.message[] a string is one user's message
---@param options? llm.template_options
---@return string? text
---@return string? message
---@return llm.code? code
function model:template(messages, options) end

---@class llm.embed_options
---@field pooling? "mean"|"cls"|"last" of the tokens' states; default: as the file says, else "last" for a decoder, "mean" for an encoder
---@field normalize? boolean to the length 1; default true
---@field priority? integer a higher one goes first
---@field async? boolean a job, whose value is the list
---@field yield? boolean inside a coroutine: yield after each slice instead of waiting

---One vector of info.embedding numbers for a text, a list of them for a list.
---@param texts string|(string|integer[])[]
---@param options? llm.embed_options
---@return number[]|number[][]|llm.job|nil embeddings
---@return string? message
---@return llm.code? code
function model:embed(texts, options) end

---Not in this version.
---@return nil, string, "unsupported"
function model:suspend(...) end

---Not in this version.
---@return nil, string, "unsupported"
function model:resume(...) end

---Not in this version.
---@return nil, string, "unsupported"
function model:pointer(...) end

---An iterator that can be called by hand. Breaking out of its loop cancels.
---@class llm.stream
---@overload fun(): string?, llm.piece_info?
local stream = {}

---@return llm.result? result nil before the end
function stream:result() end
function stream:close() end

---@class llm.session
---@field length integer tokens that it holds
---@field capacity integer tokens that it can hold
---@field result llm.result? of its last generation
local session = {}

---Continues after what the session holds; "" goes on from the last token.
---@param prompt llm.prompt
---@param options? llm.generate_options
---@return string? text
---@return llm.result|string result or message
---@return llm.code? code
function session:generate(prompt, options) end

---@param prompt llm.prompt
---@param options? llm.generate_options
---@return llm.stream
function session:stream(prompt, options) end

---@param prompt llm.prompt
---@param options? llm.generate_options
---@return llm.generation? generation
---@return string? message
---@return llm.code? code
function session:start(prompt, options) end

---Appends without generating.
---@param prompt llm.prompt
---@param options? { async: boolean?, yield: boolean? }
---@return integer? length
---@return string? message
---@return llm.code? code
function session:feed(prompt, options) end

---The n best after the last token, { {id, logit}, ... }, best first; all of them as packed little-endian f32 with "raw".
---@param n? integer|"raw" default 10
---@param options? { async: boolean?, yield: boolean? }
---@return number[][]|string|nil
---@return string? message
---@return llm.code? code
function session:logits(n, options) end

---@return integer[]
function session:tokens() end

---@param n integer from 0 to the length
---@return integer? length
---@return string? message
---@return llm.code? code
function session:truncate(n) end

---@return integer? length 0
---@return string? message
---@return llm.code? code
function session:reset() end

---@return llm.session? session
---@return string? message
---@return llm.code? code
function session:fork() end

---@class llm.save_options
---@field kv? boolean with the cache, default true; without it tokens only
---@field path? string a file, written beside and renamed
---@field write? fun(data: string): boolean? false stops with "io"
---@field async? boolean
---@field yield? boolean

---@param options? llm.save_options
---@return string|boolean|nil blob, or true with path or write
---@return string? message
---@return llm.code? code
function session:save(options) end

---Stops the generation in flight.
function session:cancel() end
function session:close() end

---@class llm.reply
---@field text string the answer
---@field reasoning? string what stood between <think> and </think>, or its kin
---@field tool_calls? llm.tool_call[]

---Adds messages to the conversation and answers. A string is one user's message.
---@param message string|llm.message|llm.message[]
---@param options? llm.chat_options
---@return llm.reply? reply
---@return llm.result|string result or message
---@return llm.code? code
function session:chat(message, options) end

---The asynchronous form: `result().reply` is the reply.
---@param message string|llm.message|llm.message[]
---@param options? llm.chat_options
---@return llm.generation? generation
---@return string? message
---@return llm.code? code
function session:chat_start(message, options) end

---Pieces of reasoning and of the answer, as info.kind tells.
---@param message string|llm.message|llm.message[]
---@param options? llm.chat_options
---@return llm.stream
function session:chat_stream(message, options) end

---The conversation so far. With a list: takes that as the conversation so far.
---@param list? llm.message[]
---@return llm.message[]? messages
---@return string? message
---@return llm.code? code
function session:messages(list) end

---Puts another message in the place of one. A string keeps its role.
---@param i integer
---@param message string|llm.message
---@return true?
---@return string? message
---@return llm.code? code
function session:edit(i, message) end

---Takes back the last user's message and all after it.
---@return llm.message? removed nil where there was none
---@return string? message
---@return llm.code? code
function session:undo() end

---Answers the last message of the user again.
---@param options? llm.chat_options
---@return llm.reply? reply
---@return llm.result|string result or message
---@return llm.code? code
function session:regenerate(options) end

---Work in flight.
---@class llm.generation
local generation = {}

---Never waits. "" when there is nothing new; "", true ever after the end.
---@return string piece
---@return boolean done
function generation:poll() end

---@param seconds? number none: until it ends; 0 does not wait
---@return boolean done
function generation:wait(seconds) end

---@return llm.result? result nil before the end
function generation:result() end
function generation:cancel() end
function generation:close() end

return llm
