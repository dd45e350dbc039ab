extension Refusal {
    /// Loss, optimizer and schedule.
    static let optimization: [Refusal] = [
        Refusal(
            #"{ optimizer: { name: 'adm' } }"#,
            #"""
            run.json5:1:22: optimizer.name: unknown name "adm"; choose "adam", "adamw", "sgd" \#
            or "lars"
                { optimizer: { name: 'adm' } }
                                     ^
            """#),
        Refusal(
            #"{ schedule: { kind: 'onecycle' } }"#,
            #"""
            run.json5:1:21: schedule.kind: unknown name "onecycle"; choose "one-cycle", \#
            "constant", "step" or "cosine"
                { schedule: { kind: 'onecycle' } }
                                    ^
            """#),
        Refusal(
            #"{ optimizer: { name: 'adam', momentum: 0.9 } }"#,
            #"""
            run.json5:1:40: optimizer.momentum has no effect here: remove it, or set \#
            optimizer.name to "sgd" or "lars"
                { optimizer: { name: 'adam', momentum: 0.9 } }
                                                       ^
            """#),
        Refusal(
            #"{ optimizer: { name: 'lars', nesterov: true } }"#,
            #"""
            run.json5:1:40: optimizer.nesterov has no effect here: remove it, or set \#
            optimizer.name to "sgd"
                { optimizer: { name: 'lars', nesterov: true } }
                                                       ^
            """#),
        Refusal(
            #"{ optimizer: { betas: [0.9, 0.99] } }"#,
            #"""
            run.json5:1:23: optimizer.betas has no effect here: remove it, or set \#
            optimizer.name to "adam" or "adamw"
                { optimizer: { betas: [0.9, 0.99] } }
                                      ^
            """#),
        Refusal(
            #"{ optimizer: { trustCoefficient: 0.01 } }"#,
            #"""
            run.json5:1:34: optimizer.trustCoefficient has no effect here: remove it, or set \#
            optimizer.name to "lars"
                { optimizer: { trustCoefficient: 0.01 } }
                                                 ^
            """#),
        Refusal(
            #"{ optimizer: { epsilon: 0.1 } }"#,
            #"""
            run.json5:1:25: optimizer.epsilon has no effect here: remove it, or set \#
            optimizer.name to "adam", "adamw" or "lars"
                { optimizer: { epsilon: 0.1 } }
                                        ^
            """#),
        Refusal(
            #"{ optimizer: { name: 'adam', betas: [0.9] } }"#,
            #"""
            run.json5:1:37: optimizer.betas: expected two numbers like [0.9, 0.999], found a \#
            list
                { optimizer: { name: 'adam', betas: [0.9] } }
                                                    ^
            """#),
        Refusal(
            #"{ optimizer: { name: 'adam', betas: 0.9 } }"#,
            #"""
            run.json5:1:37: optimizer.betas: expected two numbers like [0.9, 0.999], found 0.9
                { optimizer: { name: 'adam', betas: 0.9 } }
                                                    ^
            """#),
        Refusal(
            #"{ optimizer: { name: 'adamw', betas: [0.9, 1] } }"#,
            #"""
            run.json5:1:44: optimizer.betas[1]: expected a number of at least 0 and below 1, \#
            found 1
                { optimizer: { name: 'adamw', betas: [0.9, 1] } }
                                                           ^
            """#),
        Refusal(
            #"{ optimizer: { name: 'adam', epsilon: 0 } }"#,
            #"""
            run.json5:1:39: optimizer.epsilon: expected a number from 1e-30 to 1, found 0
                { optimizer: { name: 'adam', epsilon: 0 } }
                                                      ^
            """#),
        Refusal(
            #"{ optimizer: { name: 'lars', trustCoefficient: 0 } }"#,
            #"""
            run.json5:1:48: optimizer.trustCoefficient: expected a number above 0, found 0
                { optimizer: { name: 'lars', trustCoefficient: 0 } }
                                                               ^
            """#),
        Refusal(
            #"{ optimizer: { clipNorm: 0 } }"#,
            #"""
            run.json5:1:26: optimizer.clipNorm: expected a number above 0, found 0
                { optimizer: { clipNorm: 0 } }
                                         ^
            """#),
        Refusal(
            #"{ optimizer: { clipNorm: '1' } }"#,
            #"""
            run.json5:1:26: optimizer.clipNorm: expected a number above 0, found the string \#
            "1"
                { optimizer: { clipNorm: '1' } }
                                         ^
            """#),
        Refusal(
            #"{ loss: { labelSmoothing: 1 } }"#,
            #"""
            run.json5:1:27: loss.labelSmoothing: expected a number of at least 0 and below 1, \#
            found 1
                { loss: { labelSmoothing: 1 } }
                                          ^
            """#),
        Refusal(
            #"{ loss: { smoothing: 0.1 } }"#,
            #"""
            run.json5:1:11: unknown key "smoothing" in loss; did you mean "labelSmoothing"? \#
            Known here: labelSmoothing
                { loss: { smoothing: 0.1 } }
                          ^
            """#),
        Refusal(
            #"{ schedule: { scaleWithBatch: 0 } }"#,
            #"""
            run.json5:1:31: schedule.scaleWithBatch: expected a whole number of at least 1, \#
            found 0
                { schedule: { scaleWithBatch: 0 } }
                                              ^
            """#),
        Refusal(
            #"{ schedule: { scaleWithBatch: true } }"#,
            #"""
            run.json5:1:31: schedule.scaleWithBatch: expected a whole number of at least 1, \#
            found true
                { schedule: { scaleWithBatch: true } }
                                              ^
            """#),
        Refusal(
            #"{ schedule: { pctStart: 0.5 } }"#,
            #"""
            run.json5:1:25: schedule.pctStart has no effect here: remove it, or set \#
            schedule.kind to "one-cycle"
                { schedule: { pctStart: 0.5 } }
                                        ^
            """#),
        Refusal(
            #"{ schedule: { kind: 'one-cycle', warmupSteps: 5 } }"#,
            #"""
            run.json5:1:47: schedule.warmupSteps has no effect here: remove it, or set \#
            schedule.kind to "constant", "step" or "cosine"
                { schedule: { kind: 'one-cycle', warmupSteps: 5 } }
                                                              ^
            """#),
        Refusal(
            #"{ schedule: { kind: 'one-cycle', pctStart: 0 } }"#,
            #"""
            run.json5:1:44: schedule.pctStart: expected a number above 0 and at most 1, found \#
            0
                { schedule: { kind: 'one-cycle', pctStart: 0 } }
                                                           ^
            """#),
        Refusal(
            #"{ schedule: { kind: 'one-cycle', divFactor: -1 } }"#,
            #"""
            run.json5:1:45: schedule.divFactor: expected a number above 0, found -1
                { schedule: { kind: 'one-cycle', divFactor: -1 } }
                                                            ^
            """#),
        Refusal(
            #"{ schedule: { kind: 'one-cycle', finalDivFactor: 0 } }"#,
            #"""
            run.json5:1:50: schedule.finalDivFactor: expected a number above 0, found 0
                { schedule: { kind: 'one-cycle', finalDivFactor: 0 } }
                                                                 ^
            """#),
        Refusal(
            #"{ schedule: { kind: 'one-cycle', minimumMomentum: 0.5 } }"#,
            #"""
            run.json5:1:51: the momentum's cycle goes down to 0.5, above the 0 it starts from: \#
            lower schedule.minimumMomentum, or raise optimizer.momentum
                { schedule: { kind: 'one-cycle', minimumMomentum: 0.5 } }
                                                                  ^
            """#),
        Refusal(
            #"{optimizer:{name:'adam'},schedule:{kind:'one-cycle',minimumMomentum:0.95}}"#,
            #"""
            run.json5:1:69: the momentum's cycle goes down to 0.95, above the 0.9 it starts \#
            from: lower schedule.minimumMomentum, or raise optimizer.betas
                {optimizer:{name:'adam'},schedule:{kind:'one-cycle',minimumMomentum:0.95}}
                                                                                    ^
            """#),
        Refusal(
            #"{batch:{size:64},schedule:{kind:'cosine',minimum:0.2,scaleWithBatch:256}}"#,
            #"""
            run.json5:1:69: the cosine ends at 0.2, above the learning rate 0.125 it starts \#
            from: lower schedule.minimum
                {batch:{size:64},schedule:{kind:'cosine',minimum:0.2,scaleWithBatch:256}}
                                                                                    ^
            """#),
    ]
}
