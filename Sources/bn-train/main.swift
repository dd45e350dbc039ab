print("bn-train")
