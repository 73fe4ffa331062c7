// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import TOMLKit

extension SpaceSettings {
    private static let policyKeys = "all, filters, keepDuration, reservedSpace, maxUsedSpace, minFreeSpace, keepBytes"

    /// Reads what `[worker.oci]` of a configuration says about space. Its other keys are passed over, as all that belongs
    /// to other parts of buildkitd.
    init(reading table: TOMLTable, _ path: String) throws {
        self.init()
        guard let worker = table["worker"]?.table?["oci"] else { return }
        guard let worker = worker.table else {
            throw BuilderError(.configuration, "\(path): worker.oci must be a table")
        }
        func wrong(_ key: String, _ kind: String, in place: String = "worker.oci") -> BuilderError {
            BuilderError(.configuration, "\(path): \(key) of \(place) must be \(kind)")
        }
        func amount(_ value: any TOMLValueConvertible, _ key: String, in place: String = "worker.oci") throws
            -> SpaceAmount
        {
            let number = value.int.flatMap { $0 >= 0 ? SpaceAmount.bytes(Int64($0)) : nil }
            guard let amount = number ?? value.string.flatMap({ SpaceAmount($0) }) else {
                throw wrong(key, "a number of bytes, a size like \"10GB\" or a share like \"10%\"", in: place)
            }
            return amount
        }
        var keepStorage: SpaceAmount?
        for (key, value) in worker {
            switch key {
            case "gc":
                guard let flag = value.bool else { throw wrong(key, "true or false") }
                isAutomatic = flag
            case "reservedSpace": reserved = try amount(value, key)
            case "maxUsedSpace": maximum = try amount(value, key)
            case "minFreeSpace": minimumFree = try amount(value, key)
            case "gckeepstorage": keepStorage = try amount(value, key)
            case "gcpolicy":
                guard let list = value.array else { throw wrong(key, "a list of tables") }
                rules = try list.map { item in
                    guard let rule = item.table else { throw wrong(key, "a list of tables") }
                    return try Self.rule(
                        rule,
                        path,
                        { try amount($0, $1, in: $2) },
                        { wrong($0, $1, in: $2) }
                    )
                }
            default: continue
            }
            source = path
        }
        // buildkitd's old name of it.
        if let keepStorage, !hasLimits { reserved = keepStorage }
    }

    private static func rule(
        _ table: TOMLTable,
        _ path: String,
        _ amount: (any TOMLValueConvertible, String, String) throws -> SpaceAmount,
        _ wrong: (String, String, String) -> BuilderError
    ) throws -> Rule {
        let place = "worker.oci.gcpolicy"
        var rule = Rule()
        for (key, value) in table {
            switch key {
            case "all":
                guard let flag = value.bool else { throw wrong(key, "true or false", place) }
                rule.all = flag
            case "filters":
                guard let list = value.array else { throw wrong(key, "a list of strings", place) }
                rule.filters = try list.map { item in
                    guard let text = item.string else { throw wrong(key, "a list of strings", place) }
                    do {
                        return try UsageFilter(text)
                    } catch let error as BuilderError {
                        throw BuilderError(.configuration, "\(path): \(error.message)", nextStep: error.nextStep)
                    }
                }
            case "keepDuration":
                let seconds = value.int.map { Int64($0) } ?? value.string.flatMap(durationSeconds)
                guard let seconds, seconds >= 0 else {
                    throw wrong(key, "a number of seconds or a time like \"48h\"", place)
                }
                rule.keepDuration = seconds
            case "reservedSpace", "keepBytes": rule.reserved = try amount(value, key, place)
            case "maxUsedSpace": rule.maximum = try amount(value, key, place)
            case "minFreeSpace": rule.minimumFree = try amount(value, key, place)
            default:
                throw BuilderError(
                    .configuration,
                    "\(path): \(place) has the unknown key \"\(key)\"",
                    nextStep: "known keys: \(policyKeys)"
                )
            }
        }
        return rule
    }
}
