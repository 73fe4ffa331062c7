// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import DockerfileSyntax
import OCI

extension StageEvaluator {
    mutating func evaluateEnv(_ instruction: KeyValueInstruction) throws(LoweringFailure) {
        let pairs = try expand(instruction)
        for (name, value) in pairs {
            plan.environment.set(name, value)
            draft.setEnvironment(name, value)
        }
        record("ENV" + pairs.map { " \($0.name)=\($0.value)" }.joined())
    }

    mutating func evaluateLabel(_ instruction: KeyValueInstruction) throws(LoweringFailure) {
        let pairs = try expand(instruction)
        for (name, value) in pairs { draft.labels[name] = value }
        record("LABEL" + pairs.map { " \($0.name)=\($0.value)" }.joined())
    }

    /// All pairs see the variables as they were before the instruction.
    private func expand(_ instruction: KeyValueInstruction) throws(LoweringFailure) -> [(name: String, value: String)] {
        var pairs: [(String, String)] = []
        for pair in instruction.pairs { pairs.append((try expand(pair.key), try expand(pair.value))) }
        return pairs
    }

    /// Where a value comes from: the build argument, the default, the global scope. As in BuildKit, an ARG after an ENV
    /// of the same name hides it until the next stage.
    mutating func evaluateArg(_ declarations: [ArgDeclaration]) throws(LoweringFailure) {
        var shown: [String] = []
        for declaration in declarations {
            let name = declaration.name.text
            var value: String?
            if let given = request.buildArguments[name] {
                value = given
                usedArguments.insert(name)
            } else if let word = declaration.defaultValue {
                value = try expand(word)
            } else {
                value = global.environment.value(of: name)
            }
            if let value, !Self.isHidden(name) { plan.environment.set(name, value) }
            plan.arguments.append(StageArgument(name: name, value: value))
            shown.append(value.map { "\(name)=\($0)" } ?? name)
        }
        record("ARG " + shown.joined(separator: " "))
    }

    /// Directions for the builder that commands never see.
    private static func isHidden(_ name: String) -> Bool {
        name == "BUILDKIT_SBOM_SCAN_CONTEXT" || name == "BUILDKIT_SBOM_SCAN_STAGE"
    }

    mutating func evaluateCmd(_ form: CommandForm) {
        let command = arguments(form)
        plan.config.cmd = command.isEmpty ? nil : command
        plan.config.document["config"]?["ArgsEscaped"] = true
        hasCommand = true
        record("CMD " + GoText.quoted(command))
    }

    mutating func evaluateEntrypoint(_ form: CommandForm) {
        let command = arguments(form)
        plan.config.entrypoint = command.isEmpty ? nil : command
        if !hasCommand { plan.config.cmd = nil }
        record("ENTRYPOINT " + GoText.quoted(command))
    }

    mutating func evaluateUser(_ word: Word) throws(LoweringFailure) {
        plan.config.user = try expand(word)
        record("USER " + plan.config.user)
    }

    mutating func evaluateExpose(_ words: [Word]) throws(LoweringFailure) {
        var ports: [String] = []
        // As in BuildKit, the words are sorted as they are written.
        for word in words.sorted(by: { $0.text.utf8.lexicographicallyPrecedes($1.text.utf8) }) {
            let pieces: [String]
            do throws(ExpansionError) {
                pieces = try expander.expandToWords(word.text, environment: plan.environment)
            } catch {
                throw LoweringFailure("failed to process \(goQuoted(word.text)): \(error.message)", word.range)
            }
            for piece in pieces {
                do throws(LoweringFailure) {
                    ports += try PortSpec.parse(piece)
                    // Three protocols of 65536 ports, with room for repetition.
                    guard ports.count <= 1 << 20 else { throw LoweringFailure("EXPOSE names too many ports") }
                } catch {
                    throw LoweringFailure(error.message, word.range)
                }
            }
        }
        draft.exposedPorts.formUnion(ports)
        record("EXPOSE " + GoText.list(ports))
    }

    mutating func evaluateVolume(_ words: [Word]) throws(LoweringFailure) {
        var volumes: [String] = []
        for word in words {
            let volume = try expand(word)
            guard !volume.isEmpty else {
                throw LoweringFailure("VOLUME specified can not be an empty string", word.range)
            }
            volumes.append(volume)
        }
        draft.volumes.formUnion(volumes)
        record("VOLUME " + GoText.list(volumes))
    }

    mutating func evaluateStopSignal(_ word: Word) throws(LoweringFailure) {
        let signal = try expand(word)
        try StopSignal.check(signal, at: word.range)
        plan.config.stopSignal = signal
        record("STOPSIGNAL " + signal)
    }

    mutating func evaluateShell(_ arguments: [String]) {
        plan.config.shell = arguments
        record("SHELL " + GoText.list(arguments))
    }

    mutating func evaluateMaintainer(_ name: String) {
        plan.config.author = name
        record("MAINTAINER " + name)
    }

    mutating func evaluateHealthcheck(_ instruction: HealthcheckInstruction) {
        var test = ["NONE"]
        var durations: [(name: String, value: Int64)] = []
        var retries = 0
        if case .check(let check) = instruction {
            switch check.command {
            case .shell(let text): test = ["CMD-SHELL", text]
            case .exec(let arguments): test = ["CMD"] + arguments
            }
            retries = check.retries ?? 0
            durations = [
                ("Interval", check.interval ?? 0), ("Timeout", check.timeout ?? 0),
                ("StartPeriod", check.startPeriod ?? 0), ("StartInterval", check.startInterval ?? 0),
            ]
        } else {
            durations = ["Interval", "Timeout", "StartPeriod", "StartInterval"].map { ($0, 0) }
        }
        var document: JSONValue = ["Test": .array(test.map(JSONValue.string))]
        for (name, value) in durations where value != 0 { document[name] = .integer(value) }
        if retries != 0 { document["Retries"] = .integer(Int64(retries)) }
        plan.config.healthcheck = document
        let times = durations.map { " \($0.name):\(GoText.duration(nanoseconds: $0.value))" }.joined()
        record("HEALTHCHECK {Test:\(GoText.list(test))\(times) Retries:\(retries)}")
    }
}
