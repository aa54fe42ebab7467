--- session:pipeline: statements of one connection, none of which waits for the answers to those before it.
local core = require "weirpool.core"
local outcome = require "weirpool.outcome"

local failed, failure = outcome.failed, outcome.failure
local EXECUTE, FETCH, FETCHROW, FETCHVAL, EXECUTEMANY = 0, 1, 2, 3, 4

local Pipeline = { __name = "weirpool.Pipeline" }
Pipeline.__index = Pipeline
local Answer = { __name = "weirpool.Answer" }
Answer.__index = Answer

local function statement(shape)
    return function(pipeline, ...)
        local session = pipeline.session
        if pipeline.over then
            core.misuse("the pipeline is over: its function has returned")
        end
        local handle, err, state = core.answer_new(session.handle, session.host, shape, ...)
        if not handle then
            return failure(err, state)
        end
        local number = pipeline.count + 1
        local answer = setmetatable({ handle = handle, pipeline = pipeline, number = number }, Answer)
        pipeline.count, pipeline.answers[number] = number, answer
        return answer
    end
end

Pipeline.execute = statement(EXECUTE)
Pipeline.fetch = statement(FETCH)
Pipeline.fetchrow = statement(FETCHROW)
Pipeline.fetchval = statement(FETCHVAL)
Pipeline.executemany = statement(EXECUTEMANY)

--- Waits for it: what the statement gives, or nil, err, sqlstate. Once.
function Answer:get()
    local session = self.pipeline.session
    self.pipeline.answers[self.number] = nil
    return core.answer_take(session.handle, session.host, self.handle)
end

--- Waits for the answers that nobody got. The failure of the first among them that failed.
local function settle(pipeline)
    local session, first = pipeline.session, nil
    for number = 1, pipeline.count do
        local answer = pipeline.answers[number]
        if answer then
            local done, err, state = core.answer_wait(session.handle, session.host, answer.handle)
            if not done and not first then
                first = { err, state }
            end
        end
    end
    return first
end

local function answered(pipeline, ...)
    if failed(...) then
        return ...
    end
    local first = settle(pipeline)
    if first then
        return failure(first[1], first[2])
    end
    return ...
end

local function conclude(pipeline, ok, ...)
    local session = pipeline.session
    pipeline.over, session.pipelines = true, nil
    if not ok or failed(...) then
        for _, answer in pairs(pipeline.answers) do
            core.answer_cut(answer.handle)
        end
    end
    if not session.returned then
        core.session_pipeline(session.handle, false)
    end
    return outcome.hand_on(ok, ...)
end

--- Calls fn(pipeline), whose statements give answers, and then waits for them all.
local function run(session, fn)
    if type(fn) ~= "function" then
        core.misuse("pipeline: a function is wanted, not a " .. type(fn))
    elseif session.pipelines then
        core.misuse("this connection pipelines already")
    end
    local on, err, state = core.session_pipeline(session.handle, true)
    if not on then
        return failure(err, state)
    end
    local pipeline = setmetatable({ session = session, answers = {}, count = 0 }, Pipeline)
    session.pipelines = true
    return conclude(pipeline, pcall(function()
        return answered(pipeline, fn(pipeline))
    end))
end

return run
