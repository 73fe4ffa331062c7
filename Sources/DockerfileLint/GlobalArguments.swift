// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import DockerfileSyntax

/// What one ARG says of a variable.
struct ArgumentInfo {
    var name: String
    var value: String
    var description: String?
    var lines: ClosedRange<Int>
    /// Place among all declarations.
    var offset: Int
    /// Global arguments that the default is made of.
    var uses: Set<String> = []
}

/// The ARG instructions before the first FROM.
struct GlobalArguments {
    private(set) var variables: Variables
    private(set) var declared: [String: ArgumentInfo] = [:]
    /// Whether every default could be expanded.
    private(set) var isComplete = true

    /// - Parameter given: values that replace the defaults.
    init(_ dockerfile: Dockerfile, automatic: Variables, given: [String: String], expander: WordExpander) {
        variables = automatic
        for instruction in dockerfile.globalArguments {
            guard case .arg(let declarations) = instruction.kind else { continue }
            for declaration in declarations { declare(declaration, instruction, given, expander) }
        }
    }

    private mutating func declare(
        _ declaration: ArgDeclaration,
        _ instruction: Instruction,
        _ given: [String: String],
        _ expander: WordExpander
    ) {
        let name = declaration.name.text
        var info = ArgumentInfo(
            name: name,
            value: "",
            description: declaration.docComment,
            lines: instruction.lineRange,
            offset: declaration.name.range.start.offset
        )
        var value = given[name]
        if value == nil, let word = declaration.defaultValue {
            if let expansion = try? expander.expansion(of: word.text, environment: variables) {
                value = expansion.text
                info.uses = expansion.used
                if info.uses.remove(name) != nil { info.uses.formUnion(declared[name]?.uses ?? []) }
            } else {
                isComplete = false
            }
        }
        if let value {
            variables.set(name, value)
            info.value = value
        }
        declared[name] = info
    }

    /// Names that FROM may use.
    var known: Set<String> { Set(declared.keys).union(variables.names) }
}
