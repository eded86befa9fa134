// Numbers for people.

const COUNT = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

export const count = (number) => COUNT.format(number);

export const percent = (share) => `${Math.round(share * 100)} %`;

export function bytes(number) {
  if (!number) return "0";
  const step = Math.min(4, Math.floor(Math.log2(number) / 10));
  const value = number / 1024 ** step;
  return `${value.toFixed(value < 10 && step ? 1 : 0)} ${["B", "KiB", "MiB", "GiB", "TiB"][step]}`;
}

export function seconds(number) {
  if (number < 1) return `${Math.round(number * 1000)} ms`;
  return number < 100 ? `${number.toFixed(number < 10 ? 2 : 1)} s` : `${Math.round(number / 60)} min`;
}

export const rate = (perSecond) => (perSecond < 100 ? perSecond.toFixed(1) : count(perSecond));
