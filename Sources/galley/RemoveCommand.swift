// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import ArgumentParser
import Builder
import OCI

struct RemoveCommand: EngineCommand {
    static let configuration = CommandConfiguration(
        commandName: "rmi",
        abstract: "Remove images.",
        usage: "galley rmi [OPTIONS] IMAGE [IMAGE...]"
    )

    @OptionGroup var global: GlobalOptions

    @Flag(name: .shortAndLong, help: "Also when an id has several names.")
    var force = false

    @Argument(help: .init("Names or ids.", value: "image"))
    var images: [String]

    func execute(_ session: Session) async throws -> Int32 {
        let engine = try session.engine()
        var code: Int32 = 0
        for image in images {
            do {
                for removed in try engine.remove(image, force: force) { try writeOutput(Self.line(removed)) }
            } catch let error as ClosedOutput {
                throw error
            } catch {
                // The others are removed all the same, as docker does.
                session.report(error)
                code = 1
            }
        }
        return code
    }

    static func line(_ removed: RemovedImage) -> String {
        switch removed {
        case .untagged(let reference): "Untagged: \(reference.familiar)\n"
        case .deleted(let digest): "Deleted: \(digest)\n"
        }
    }
}
