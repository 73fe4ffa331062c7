// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import GalleyTesting
import OCI
import Testing

extension Trait where Self == ConditionTrait {
    /// Runs the real program with real containers.
    static var endToEnd: Self {
        .enabled(
            if: TestInstallation.isComplete,
            "needs root, galley (GALLEY_TEST_BINARY) and base images (GALLEY_TEST_BASES; made by Scripts/test.sh)"
        )
    }

    static func needs(program: String) -> Self {
        .enabled(if: TestInstallation.hasProgram(program), "needs \(program)")
    }
}

extension JSONValue {
    /// Strings of an array; none for anything else.
    var strings: [String] { (arrayValue ?? []).compactMap(\.stringValue) }
    /// Names of an object's members, sorted.
    var names: [String] { (objectValue ?? [:]).keys.sorted() }
}

extension ProgramResult {
    /// Lines of standard error that announce an error.
    var errorLines: [String] {
        errors.split(separator: "\n").map(String.init).filter { $0.hasPrefix("ERROR: ") }
    }
}
