// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

public import Solver

/// What changed about files that a step reads.
public struct FileChanges: Hashable, Sendable {
    /// How many files changed.
    public var count: Int
    /// Lines like `modified src/main.go`, as many as are shown.
    public var lines: [String]

    public init(count: Int, lines: [String]) {
        self.count = count
        self.lines = lines
    }
}

/// What became of an input in the build that is asked about.
public enum InputOutcome: Sendable {
    /// It ran, for that reason.
    case ran(StepReason?)
    /// It was found; with a reason when it is not what it was in the former build.
    case found(StepReason?)
    case unknown
}

/// What a comparison needs to know beyond the steps themselves.
public protocol StepEvidence {
    /// How the files of a context that the step reads through one of its inputs differ; nil when that is not known.
    func fileChanges(_ step: StepFacts, input: Int, since former: String, now: String) -> FileChanges?
    func outcome(of input: StepFacts.Input) -> InputOutcome
}

/// Compares a step with what it was when it was last done.
public struct StepComparison {
    /// More lines are counted only.
    public static let shownLines = 20

    let former: StepFacts
    let now: StepFacts

    public init(_ former: StepFacts, _ now: StepFacts) {
        self.former = former
        self.now = now
    }

    /// All that differs, what explains most first; empty when nothing does.
    public func reasons(_ evidence: some StepEvidence) -> [StepReason] {
        if [.image, .git, .http].contains(now.kind) { return ownContentReasons }
        let inputs = inputReasons(evidence)
        guard former.operation != now.operation || former.kind != now.kind else { return inputs }
        let instruction = instructionReasons
        let variables = variableReasons
        // What an instruction or a variable in its text says of a property was told already.
        let isTold = !instruction.isEmpty || !variables.isEmpty && now.kind == .file
        let settings = isTold ? [] : settingReasons
        let bases = inputs.filter { $0.code == .baseChanged }
        // Where other files are asked for, nothing can be said of how they changed.
        let others = inputs.filter {
            $0.code != .baseChanged && ($0.code != .filesChanged || former.settings == now.settings)
        }
        let all = instruction + bases + variables + settings + others
        return all.isEmpty ? [StepReason(.settingChanged, "a property without a name changed")] : all
    }

    /// One reason out of all: the first, with the others in its details.
    public static func joined(_ reasons: [StepReason]) -> StepReason? {
        guard var result = reasons.first else { return nil }
        for other in reasons.dropFirst() { result.details += ["also: \(other.summary)"] + other.details }
        result.details = bounded(result.details)
        return result
    }

    static func bounded(_ lines: [String]) -> [String] {
        guard lines.count > 2 * shownLines else { return lines }
        return lines.prefix(2 * shownLines) + ["and \(grouped(lines.count - 2 * shownLines)) more lines"]
    }

    // MARK: The operation

    private var instructionReasons: [StepReason] {
        guard former.instruction != now.instruction else { return [] }
        return [
            StepReason(
                .instructionChanged,
                "the instruction changed",
                details: ["was: \(oneLine(former.instruction))", "now: \(oneLine(now.instruction))"]
            )
        ]
    }

    private var variableReasons: [StepReason] {
        let old = variables(former.environment + former.variables)
        let new = variables(now.environment + now.variables)
        let declared = Set(former.arguments).union(now.arguments)
        let names = Set(old.keys).union(new.keys).filter { old[$0] != new[$0] }.sorted()
        var reasons: [StepReason] = []
        for (code, keyword, isArgument) in [
            (StepReason.Code.argumentChanged, "ARG", true), (.environmentChanged, "ENV", false),
        ] {
            let changed = names.filter { declared.contains($0) == isArgument }
            guard !changed.isEmpty else { continue }
            let shown = changed.prefix(3).joined(separator: ", ")
            let more = changed.count > 3 ? " and \(changed.count - 3) more" : ""
            let lines = changed.prefix(Self.shownLines).map { "\($0): \(value(old[$0])) -> \(value(new[$0]))" }
            reasons.append(StepReason(code, "\(keyword) \(shown)\(more) changed", details: lines))
        }
        if reasons.isEmpty, former.environment != now.environment {
            reasons.append(StepReason(.environmentChanged, "the order of the variables changed"))
        }
        return reasons
    }

    private var settingReasons: [StepReason] {
        let old = Dictionary(former.settings.map { ($0.name, $0.value) }, uniquingKeysWith: { $1 })
        let new = Dictionary(now.settings.map { ($0.name, $0.value) }, uniquingKeysWith: { $1 })
        let names = now.settings.map(\.name) + former.settings.map(\.name).filter { new[$0] == nil }
        let changed = names.filter { old[$0] != new[$0] }
        guard let first = changed.first else { return [] }
        let more = changed.count > 1 ? " and \(changed.count - 1) more" : ""
        let lines = changed.prefix(Self.shownLines).map { "\($0): \(value(old[$0])) -> \(value(new[$0]))" }
        return [StepReason(.settingChanged, "the \(first)\(more) changed", details: lines)]
    }

    private func variables(_ entries: [String]) -> [String: String] {
        var result: [String: String] = [:]
        for entry in entries {
            let name = entry.prefix { $0 != "=" }
            result[String(name)] = String(entry.dropFirst(name.count + 1))
        }
        return result
    }

    private func value(_ text: String?) -> String {
        guard let text else { return "not set" }
        return "\"\(oneLine(text))\""
    }

    // MARK: Inputs

    /// What the step itself reads from outside comes before what other steps made of it.
    private func inputReasons(_ evidence: some StepEvidence) -> [StepReason] {
        let all = now.inputs.indices.compactMap { inputReason($0, evidence) }
        let isStep = { (reason: StepReason) in reason.code == .inputChanged }
        return all.filter { !isStep($0) } + all.filter(isStep)
    }

    private func inputReason(_ position: Int, _ evidence: some StepEvidence) -> StepReason? {
        let input = now.inputs[position]
        guard let old = counterpart(of: position) else { return nil }
        if input.isSource || input.content != nil { return sourceReason(position, old, input, evidence) }
        if let before = old.identity, let after = input.identity {
            return before == after ? nil : stepReason(old, input, evidence.outcome(of: input))
        }
        switch evidence.outcome(of: input) {
        case .ran, .found(.some): return stepReason(old, input, evidence.outcome(of: input))
        case .found, .unknown: return old.id == input.id ? nil : stepReason(old, input, .unknown)
        }
    }

    /// The input that served the same end.
    private func counterpart(of position: Int) -> StepFacts.Input? {
        let input = now.inputs[position]
        if former.inputs.count == now.inputs.count { return former.inputs[position] }
        return former.inputs.first { $0.role == input.role }
    }

    private func sourceReason(
        _ position: Int,
        _ old: StepFacts.Input,
        _ input: StepFacts.Input,
        _ evidence: some StepEvidence
    ) -> StepReason? {
        guard let before = old.content, let after = input.content else {
            guard old.kind != input.kind else { return nil }
            return stepReason(old, input, .unknown)
        }
        guard before != after else { return nil }
        if input.kind == .local { return filesReason(position, before, after, evidence) }
        return contentReason(input.kind, before, after, isBase: input.role == "base")
    }

    private func contentReason(
        _ kind: StepFacts.Kind,
        _ before: String,
        _ after: String,
        isBase: Bool
    ) -> StepReason {
        let change = ["was: \(before)", "now: \(after)"]
        switch kind {
        case .image:
            return StepReason(.baseChanged, isBase ? "the base image changed" : "an image changed", details: change)
        case .git: return StepReason(.sourceChanged, "the git repository changed", details: change)
        case .http: return StepReason(.sourceChanged, "the file on the web server changed", details: change)
        case .file, .exec, .merge, .local:
            return StepReason(.instructionChanged, "the document in the instruction changed")
        }
    }

    /// Of a step that is a source itself.
    private var ownContentReasons: [StepReason] {
        var reasons = variableReasons
        if let before = former.content, let after = now.content, before != after {
            reasons.insert(contentReason(now.kind, before, after, isBase: true), at: 0)
        }
        return reasons
    }

    private func filesReason(
        _ position: Int,
        _ before: String,
        _ after: String,
        _ evidence: some StepEvidence
    ) -> StepReason? {
        let input = now.inputs[position]
        let code: StepReason.Code = input.role.hasPrefix("mount ") ? .mountChanged : .filesChanged
        let place = code == .mountChanged ? " at the \(input.role)" : ""
        guard let changes = evidence.fileChanges(now, input: position, since: before, now: after) else {
            return StepReason(code, "files of the build context changed\(place)")
        }
        guard changes.count > 0 else { return nil }
        let summary = changes.count == 1 ? changes.lines[0] : "\(grouped(changes.count)) files changed"
        var lines = changes.count == 1 ? [] : changes.lines
        if changes.count > changes.lines.count {
            lines.append("and \(grouped(changes.count - changes.lines.count)) more")
        }
        return StepReason(code, summary + place, details: lines)
    }

    private func stepReason(
        _ old: StepFacts.Input,
        _ input: StepFacts.Input,
        _ outcome: InputOutcome
    ) -> StepReason {
        let isMount = input.role.hasPrefix("mount ")
        let verb = isMount ? "mounts" : input.role.hasPrefix("copy ") ? "copies from" : "follows"
        let code: StepReason.Code = isMount ? .mountChanged : .inputChanged
        switch outcome {
        case .ran(let reason):
            return StepReason(code, "\(verb) \(input.name), which ran again", details: root(reason))
        case .found(let reason):
            return StepReason(code, "\(verb) \(input.name), which is another one than before", details: root(reason))
        case .unknown:
            let before = old.name == input.name ? [] : ["was: \(old.name)"]
            return StepReason(code, "\(verb) \(input.name), which is another one than before", details: before)
        }
    }

    /// Where a chain of steps begins.
    private func root(_ reason: StepReason?) -> [String] {
        guard let reason else { return [] }
        // The line of the step before it says it already.
        if let known = reason.details.first(where: { $0.hasPrefix("because ") }) { return [known] }
        return [.inputChanged].contains(reason.code) ? [] : ["because \(reason.summary)"]
    }
}

/// A text in one line of at most 100 characters.
func oneLine(_ text: String) -> String {
    let flat = String(text.map { $0.isNewline || $0 == "\t" ? " " : $0 })
    return flat.count <= 100 ? flat : flat.prefix(99) + "…"
}

/// `1,234`.
func grouped(_ number: Int) -> String {
    let digits = Array(String(number))
    return digits.indices.map { index in
        (index > 0 && (digits.count - index).isMultiple(of: 3) ? "," : "") + String(digits[index])
    }.joined()
}
